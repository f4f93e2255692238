// SPDX-License-Identifier: MIT

package main

import (
	"errors"
	"fmt"
	"math/rand"
	"sync/atomic"
	"time"
)

const (
	armedTimers = 1000000
	spareTimers = 1024
	spareTimes  = 4096
)

// A crowd is made once for all samples.
var (
	crowd      []*time.Timer
	spares     []*time.Timer
	crowdTimes [spareTimes]time.Duration
	fired      atomic.Int64
)

func randomTime() time.Duration {
	return time.Minute + time.Duration(rand.Int63n(int64(time.Hour)))
}

func noteFired() {
	fired.Add(1)
}

func makeCrowd() {
	for i := range crowdTimes {
		crowdTimes[i] = randomTime()
	}
	for i := 0; i < armedTimers; i++ {
		crowd = append(crowd, time.AfterFunc(randomTime(), noteFired))
	}
	for i := 0; i < spareTimers; i++ {
		timer := time.AfterFunc(randomTime(), noteFired)
		timer.Stop()
		spares = append(spares, timer)
	}
}

// A timer that calls a function is in the heap from Reset on, without anybody who waits.  (One with
// a channel is in it only while a goroutine is blocked on the channel, since Go 1.23.)  Stop marks
// it and leaves it there, until enough of the heap is marked.  Timers are made once and used again;
// Reset reads the clock, which weft's row leaves out, as it takes a duration.
func timerArmCancel(batch int) (sample, error) {
	if crowd == nil {
		makeCrowd()
	}
	stopped := 0
	start := time.Now()
	for i := 0; i < batch; i++ {
		timer := spares[i%spareTimers]
		timer.Reset(crowdTimes[i%spareTimes])
		if timer.Stop() {
			stopped++
		}
	}
	elapsed := time.Since(start)
	if stopped != batch || fired.Load() != 0 {
		return sample{}, errors.New("some timers fired")
	}
	return sample{elapsed: elapsed}, nil
}

// Reset reads the clock, which weft's row leaves out.
func timerExtend(batch int) (sample, error) {
	timer := time.AfterFunc(time.Hour, noteFired)
	moved := 0
	start := time.Now()
	for i := 0; i < batch; i++ {
		if timer.Reset(time.Hour + time.Duration(i)) {
			moved++
		}
	}
	elapsed := time.Since(start)
	if !timer.Stop() || moved != batch {
		return sample{}, errors.New("the timer fired")
	}
	return sample{elapsed: elapsed}, nil
}

// As channelPingpong, with a timer that is made once, as its documentation has it: Stop and Reset
// leave nothing in its channel since Go 1.23.  One number has room in the channel, so that it is the
// select that sleeps in each round: else it would be the send once a goroutine has been preempted in
// between, and the timer would not be in the heap.  One P runs both, so plain variables prove it.
func timerTimeout(batch int) (sample, error) {
	const limit = 10 * time.Second
	there := make(chan uint64, 1)
	back := make(chan uint64)
	isAsking, asked, wrong := false, 0, 0
	go func() {
		for value := range there {
			if isAsking {
				asked++
			}
			back <- value + 1
		}
	}()
	timer := time.NewTimer(limit)
	start := time.Now()
	for i := uint64(0); i < uint64(batch); i++ {
		there <- i
		isAsking = true
		timer.Reset(limit)
		select {
		case value := <-back:
			timer.Stop()
			if value != i+1 {
				wrong++
			}
		case <-timer.C:
			wrong++
		}
		isAsking = false
	}
	elapsed := time.Since(start)
	close(there)
	if wrong != 0 {
		return sample{}, fmt.Errorf("%d answers were wrong or late", wrong)
	}
	// A goroutine that is preempted, as each is after 10 ms, finds the answer there.
	if asked < batch-batch/10-1 {
		return sample{}, fmt.Errorf("only %d of %d selects slept", asked, batch)
	}
	return sample{elapsed: elapsed}, nil
}
