// SPDX-License-Identifier: MIT

package main

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"
)

const (
	readersMax  = 1000
	opsPerWrite = 20
)

type library struct {
	lock   sync.RWMutex
	value  int64
	isOver atomic.Bool
	ops    atomic.Int64
	writes atomic.Int64
}

func (l *library) use(number, count int) int64 {
	var writes int64
	for i := 0; i < count; i++ {
		if (number+i)%opsPerWrite == 0 {
			l.lock.Lock()
			l.value++
			writes++
			l.lock.Unlock()
		} else {
			l.lock.RLock()
			if l.value < 0 {
				panic("the value is negative")
			}
			l.lock.RUnlock()
		}
	}
	return writes
}

func rwlockAlone(batch int) (sample, error) {
	var l library
	start := time.Now()
	writes := l.use(0, batch)
	elapsed := time.Since(start)
	if writes != int64((batch+opsPerWrite-1)/opsPerWrite) || l.value != writes {
		return sample{}, errors.New("some locks failed")
	}
	return sample{elapsed: elapsed}, nil
}

func rwlockReadMostly(int) (sample, error) {
	var l library
	var all sync.WaitGroup
	start := time.Now()
	for i := 0; i < readersMax; i++ {
		all.Add(1)
		go func(number int) {
			defer all.Done()
			var writes int64
			ops := 0
			for !l.isOver.Load() {
				writes += l.use(number+ops, 1)
				ops++
			}
			l.ops.Add(int64(ops))
			l.writes.Add(writes)
		}(i)
	}
	if isQuick {
		time.Sleep(time.Second / 4)
	} else {
		time.Sleep(time.Second)
	}
	l.isOver.Store(true)
	all.Wait()
	elapsed := time.Since(start)
	if l.value != l.writes.Load() {
		return sample{}, errors.New("two wrote at once")
	}
	ns := float64(elapsed) / float64(l.ops.Load())
	return sample{reports: []report{{"ns_per_op", false, ns}}}, nil
}
