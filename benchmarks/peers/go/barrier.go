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
		shared := newBarrier(parties)
		all.Add(parties)
		start := time.Now()
		for i := 0; i < parties; i++ {
			go func() {
				defer all.Done()
				for step := 0; step < batch; step++ {
					if shared.wait() {
						serials.Add(1)
					}
				}
			}()
		}
		all.Wait()
		elapsed := time.Since(start)
		if serials.Load() != int64(batch) {
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
		all.Add(count)
		start := time.Now()
		for i := 0; i < count; i++ {
			go func() {
				defer all.Done()
				mutex.Lock()
				for i := 0; i < batch; i++ {
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
		for round < batch {
			for waiting < count {
				assembled.Wait()
			}
			waiting = 0
			round++
			changed.Broadcast()
		}
		mutex.Unlock()
		all.Wait()
		elapsed := time.Since(start)
		if woken != batch*count {
			return sample{}, errors.New("some were not woken")
		}
		return sample{elapsed: elapsed}, nil
	}
}
