// SPDX-License-Identifier: MIT

package main

import (
	"errors"
	"math/rand"
	"sync/atomic"
	"time"
)

const (
	armedTimers = 1000000
	spareTimes  = 4096
)

// A crowd is made once for all samples.
var (
	crowd      []*time.Timer
	crowdTimes [spareTimes]time.Duration
	fired      atomic.Int64
)

func randomTime() time.Duration {
	return time.Minute + time.Duration(rand.Int63n(int64(time.Hour)))
}

func noteFired() {
	fired.Add(1)
}

// A timer of Go's is in its heap from the moment that it is made, and Stop takes it out or marks it;
// making one allocates.
func timerArmCancel(batch int) (sample, error) {
	if crowd == nil {
		for i := range crowdTimes {
			crowdTimes[i] = randomTime()
		}
		for i := 0; i < armedTimers; i++ {
			crowd = append(crowd, time.AfterFunc(randomTime(), noteFired))
		}
	}
	stopped := 0
	start := time.Now()
	for i := 0; i < batch; i++ {
		if time.AfterFunc(crowdTimes[i%spareTimes], noteFired).Stop() {
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
