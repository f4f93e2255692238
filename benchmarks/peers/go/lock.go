// SPDX-License-Identifier: MIT

package main

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"
)

var (
	loneMutex sync.Mutex
	loneCount int
)

func mutexUncontended(batch int) (sample, error) {
	before := loneCount
	start := time.Now()
	for i := 0; i < batch; i++ {
		loneMutex.Lock()
		loneCount++
		loneMutex.Unlock()
	}
	elapsed := time.Since(start)
	if loneCount-before != batch {
		return sample{}, errors.New("some locks failed")
	}
	return sample{elapsed: elapsed}, nil
}

const contenders = 1000

type contention struct {
	mutex   sync.Mutex
	count   int64
	isOver  atomic.Bool
	locks   atomic.Int64
	longest atomic.Int64
	isTimed bool
}

func (c *contention) contend() {
	var locks, longest int64
	for !c.isOver.Load() {
		var start time.Time
		if c.isTimed {
			start = time.Now()
		}
		c.mutex.Lock()
		if c.isTimed {
			longest = max64(longest, int64(time.Since(start)))
		}
		c.count++
		c.mutex.Unlock()
		locks++
	}
	c.locks.Add(locks)
	for known := c.longest.Load(); longest > known; known = c.longest.Load() {
		c.longest.CompareAndSwap(known, longest)
	}
}

func max64(a, b int64) int64 {
	if a > b {
		return a
	}
	return b
}

func (c *contention) run() (float64, error) {
	var all sync.WaitGroup
	start := time.Now()
	for i := 0; i < contenders; i++ {
		all.Add(1)
		go func() {
			defer all.Done()
			c.contend()
		}()
	}
	if isQuick {
		time.Sleep(time.Second / 4)
	} else {
		time.Sleep(time.Second)
	}
	c.isOver.Store(true)
	all.Wait()
	elapsed := time.Since(start)
	if c.count != c.locks.Load() {
		return 0, errors.New("two held the mutex at once")
	}
	return float64(elapsed) / float64(c.locks.Load()), nil
}

func mutexContended(int) (sample, error) {
	plain := contention{}
	timed := contention{isTimed: true}
	ns, err := plain.run()
	if err == nil {
		_, err = timed.run()
	}
	longest := float64(timed.longest.Load()) / 1e3
	return sample{reports: []report{
		{"ns_per_op", false, ns}, {"longest_us", false, longest},
	}}, err
}

// A buffered channel, which is what Go's own documentation uses as a semaphore.
func semaphoreUncontended(batch int) (sample, error) {
	permits := make(chan struct{}, 1)
	start := time.Now()
	for i := 0; i < batch; i++ {
		permits <- struct{}{}
		<-permits
	}
	elapsed := time.Since(start)
	if len(permits) != 0 {
		return sample{}, errors.New("permits were lost")
	}
	return sample{elapsed: elapsed}, nil
}

func condvarPingpong(batch int) (sample, error) {
	var mutex sync.Mutex
	turned := sync.NewCond(&mutex)
	turn, waits := 0, 0
	play := func(parity int) {
		mutex.Lock()
		for turn < batch {
			if turn%2 == parity {
				turn++
				turned.Signal()
			} else {
				waits++
				turned.Wait()
			}
		}
		turned.Broadcast()
		mutex.Unlock()
	}
	var second sync.WaitGroup
	second.Add(1)
	start := time.Now()
	go func() {
		defer second.Done()
		play(1)
	}()
	play(0)
	second.Wait()
	elapsed := time.Since(start)
	if turn != batch || waits+2 < batch {
		return sample{}, errors.New("some turns were not waited for")
	}
	return sample{elapsed: elapsed}, nil
}
