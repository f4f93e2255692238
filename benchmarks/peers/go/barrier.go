// SPDX-License-Identifier: MIT

package main

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"
)

// Go's library has no barrier.  This is how it is written with what there is: a mutex, a count, and
// a condition variable whose waiters look for the next cycle.
type barrier struct {
	mutex   sync.Mutex
	crossed *sync.Cond
	parties int
	arrived int
	cycle   int
}

func newBarrier(parties int) *barrier {
	b := &barrier{parties: parties}
	b.crossed = sync.NewCond(&b.mutex)
	return b
}

// True for the one that arrived last.
func (b *barrier) wait() bool {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	b.arrived++
	if b.arrived == b.parties {
		b.arrived = 0
		b.cycle++
		b.crossed.Broadcast()
		return true
	}
	for cycle := b.cycle; cycle == b.cycle; {
		b.crossed.Wait()
	}
	return false
}

func barrierCross(parties int) func(int) (sample, error) {
	return func(batch int) (sample, error) {
		var serials atomic.Int64
		var all sync.WaitGroup
		// Both are set by the one that arrived last, before the next crossing or its end.
		var start time.Time
		var elapsed time.Duration
		shared := newBarrier(parties)
		all.Add(parties)
		for i := 0; i < parties; i++ {
			go func() {
				defer all.Done()
				for step := 0; step <= batch; step++ {
					if !shared.wait() {
						continue
					}
					serials.Add(1)
					if step == 0 {
						start = time.Now()
					}
					if step == batch {
						elapsed = time.Since(start)
					}
				}
			}()
		}
		all.Wait()
		if serials.Load() != int64(batch)+1 {
			return sample{}, errors.New("not all crossings took place")
		}
		return sample{elapsed: elapsed}, nil
	}
}

func condvarBroadcast(count int) func(int) (sample, error) {
	return func(batch int) (sample, error) {
		var mutex sync.Mutex
		var all sync.WaitGroup
		changed, assembled := sync.NewCond(&mutex), sync.NewCond(&mutex)
		round, waiting, woken := 0, 0, 0
		var start time.Time
		var elapsed time.Duration
		all.Add(count)
		for i := 0; i < count; i++ {
			go func() {
				defer all.Done()
				mutex.Lock()
				for i := 0; i <= batch; i++ {
					waiting++
					if waiting == count {
						assembled.Signal()
					}
					for round == i {
						changed.Wait()
					}
					woken++
				}
				mutex.Unlock()
			}()
		}
		mutex.Lock()
		for round <= batch {
			for waiting < count {
				assembled.Wait()
			}
			if round == 0 {
				start = time.Now()
			}
			if round == batch {
				elapsed = time.Since(start)
			}
			waiting = 0
			round++
			changed.Broadcast()
		}
		mutex.Unlock()
		all.Wait()
		if woken != (batch+1)*count {
			return sample{}, errors.New("some were not woken")
		}
		return sample{elapsed: elapsed}, nil
	}
}
