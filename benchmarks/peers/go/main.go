// SPDX-License-Identifier: MIT

// Goroutines beside weft.  Questions and methods are those of weft's benchmarks of the same names;
// the comments say what differs.
package main

import (
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

var benchmarks = []benchmark{
	{"switch/yield", nsPerOp, 1, 2, switchYield},
	{"spawn/join_empty/workers=1", nsPerOp, 1, 1, spawnJoinEmpty},
	{"spawn/join_empty/workers=2", nsPerOp, 2, 1, spawnJoinEmpty},
	{"spawn/skynet/workers=1", seconds, 1, 1, skynet},
	{"spawn/skynet/workers=2", seconds, 2, 1, skynet},
	{"spawn/skynet/workers=4", seconds, 4, 1, skynet},
	{"spawn/skynet/workers=8", seconds, 8, 1, skynet},
	{"scope/spawn_join_100", nsPerOp, 1, 100, scopeSpawnJoin},
	{"forkjoin/fib/n=32/workers=1", reports, 1, 1, forkjoinFib},
	{"forkjoin/fib/n=32/workers=2", reports, 2, 1, forkjoinFib},
	{"forkjoin/queens/n=13/workers=1", reports, 1, 1, forkjoinQueens},
	{"forkjoin/queens/n=13/workers=2", reports, 2, 1, forkjoinQueens},
	{"memory/parked/n=10000", bytesPerFiber, 1, 1, memoryParked(10000)},
	{"memory/parked/n=100000", bytesPerFiber, 1, 1, memoryParked(100000)},
	{"memory/parked/n=1000000", bytesPerFiber, 1, 1, memoryParked(1000000)},
	{"timer/sleep_storm/n=10000", seconds, 1, 1, sleepStorm(10000)},
	{"timer/arm_cancel", nsPerOp, 1, 1, timerArmCancel},
	{"timer/extend", nsPerOp, 1, 1, timerExtend},
	{"timer/timeout", nsPerOp, 1, 1, timerTimeout},
	{"hog/echo/hogs=0", reports, 2, 1, hogEcho(compute, 0)},
	{"hog/echo/hogs=1", reports, 2, 1, hogEcho(compute, 1)},
	{"hog/echo/hogs=2", reports, 2, 1, hogEcho(compute, 2)},
	{"hog/echo/kind=usleep/hogs=1", reports, 2, 1, hogEcho(usleep, 1)},
	{"hog/echo/kind=usleep/hogs=2", reports, 2, 1, hogEcho(usleep, 2)},
	{"hog/echo/kind=read/hogs=1", reports, 2, 1, hogEcho(read, 1)},
	{"hog/echo/kind=read/hogs=2", reports, 2, 1, hogEcho(read, 2)},
	{"balance/echo", reports, 2, 1, balanceEcho},
	{"channel/pingpong", nsPerOp, 1, 1, channelPingpong},
	{"channel/throughput/senders=1/receivers=1/workers=1", nsPerOp, 1, 1, channelThroughput(1, 1)},
	{"channel/throughput/senders=4/receivers=1/workers=1", nsPerOp, 1, 1, channelThroughput(4, 1)},
	{"channel/throughput/senders=4/receivers=4/workers=1", nsPerOp, 1, 1, channelThroughput(4, 4)},
	{"channel/throughput/senders=1/receivers=1/workers=2", nsPerOp, 2, 1, channelThroughput(1, 1)},
	{"channel/throughput/senders=4/receivers=1/workers=2", nsPerOp, 2, 1, channelThroughput(4, 1)},
	{"channel/throughput/senders=4/receivers=4/workers=2", nsPerOp, 2, 1, channelThroughput(4, 4)},
	{"channel/throughput/senders=4/receivers=4/workers=4", nsPerOp, 4, 1, channelThroughput(4, 4)},
	{"channel/throughput/senders=4/receivers=4/workers=8", nsPerOp, 8, 1, channelThroughput(4, 4)},
	{"ring/pass/fibers=503/workers=1", nsPerOp, 1, 1, ringPass},
	{"ring/pass/fibers=503/workers=2", nsPerOp, 2, 1, ringPass},
	{"chameneos/meet/creatures=10/workers=1", nsPerOp, 1, 1, chameneosMeet},
	{"chameneos/meet/creatures=10/workers=2", nsPerOp, 2, 1, chameneosMeet},
	{"generator/next", nsPerOp, 1, 1, generatorNext},
	{"select/4", nsPerOp, 1, 1, selectFour},
	{"idle/parked=10000", reports, 2, 1, idleParked(10000)},
	{"mutex/uncontended", nsPerOp, 1, 1, mutexUncontended},
	{"mutex/contended", reports, 2, 1, mutexContended},
	{"mutex/contended/workers=4", reports, 4, 1, mutexContended},
	{"mutex/contended/workers=8", reports, 8, 1, mutexContended},
	{"rwlock/read_mostly/fibers=1", nsPerOp, 1, 1, rwlockAlone},
	{"rwlock/read_mostly/fibers=1000", reports, 2, 1, rwlockReadMostly},
	{"semaphore/uncontended", nsPerOp, 1, 1, semaphoreUncontended},
	{"condvar/pingpong", nsPerOp, 1, 1, condvarPingpong},
	{"condvar/broadcast/waiters=100", nsPerOp, 2, 100, condvarBroadcast(100)},
	{"barrier/cross/parties=2", nsPerOp, 1, 2, barrierCross(2)},
	{"barrier/cross/parties=10", nsPerOp, 2, 10, barrierCross(10)},
	{"barrier/cross/parties=1000", nsPerOp, 2, 1000, barrierCross(1000)},
}

func switchYield(batch int) (sample, error) {
	// One P runs both, so plain variables are enough, as in weft's benchmark.
	var last, repeats int
	var players sync.WaitGroup
	player := func(id int) {
		defer players.Done()
		for i := 0; i < batch; i++ {
			if last == id {
				repeats++
			}
			last = id
			runtime.Gosched()
		}
	}
	players.Add(2)
	start := time.Now()
	go player(1)
	go player(2)
	players.Wait()
	elapsed := time.Since(start)
	// Every 61st look of Go's scheduler goes to another queue first and may find the yielder there.
	if repeats > 1000+batch/5 {
		return sample{}, fmt.Errorf("%d yields did not switch", repeats)
	}
	return sample{elapsed: elapsed}, nil
}

// An unbuffered channel that is made once: measured faster than a WaitGroup, which parks through a
// semaphore, and than a channel per goroutine.
func spawnJoinEmpty(batch int) (sample, error) {
	ran := 0
	done := make(chan struct{})
	count := func() {
		ran++
		done <- struct{}{}
	}
	start := time.Now()
	for i := 0; i < batch; i++ {
		go count()
		<-done
	}
	elapsed := time.Since(start)
	if ran != batch {
		return sample{}, errors.New("some goroutines did not run")
	}
	return sample{elapsed: elapsed}, nil
}

// A WaitGroup is the usual way to wait for a group of goroutines.
func scopeSpawnJoin(batch int) (sample, error) {
	const members = 100
	ran := 0 // one P runs them all
	start := time.Now()
	for i := 0; i < batch; i++ {
		var group sync.WaitGroup
		group.Add(members)
		for j := 0; j < members; j++ {
			go func() {
				defer group.Done()
				ran++
			}()
		}
		group.Wait()
	}
	elapsed := time.Since(start)
	if ran != batch*members {
		return sample{}, errors.New("some goroutines did not run")
	}
	return sample{elapsed: elapsed}, nil
}

const (
	skynetLeaves   = 1000000
	skynetChildren = 10
)

// The usual form: children send their sums on one channel, buffered so that none waits for it.
func skynetNode(result chan<- int, first, size int) {
	if size == 1 {
		result <- first
		return
	}
	sums := make(chan int, skynetChildren)
	size /= skynetChildren
	for i := 0; i < skynetChildren; i++ {
		go skynetNode(sums, first+i*size, size)
	}
	sum := 0
	for i := 0; i < skynetChildren; i++ {
		sum += <-sums
	}
	result <- sum
}

func skynet(int) (sample, error) {
	result := make(chan int, 1)
	start := time.Now()
	go skynetNode(result, 0, skynetLeaves)
	sum := <-result
	elapsed := time.Since(start)
	if sum != skynetLeaves*(skynetLeaves-1)/2 {
		return sample{}, fmt.Errorf("the sum is wrong: %d", sum)
	}
	return sample{elapsed: elapsed}, nil
}

// The goroutines sleep for an hour; the process ends before that.
func memoryParked(count int) func(int) (sample, error) {
	return func(int) (sample, error) {
		var arrived, woken atomic.Int64
		before, err := residentBytes()
		if err != nil {
			return sample{}, err
		}
		for i := 0; i < count; i++ {
			go func() {
				arrived.Add(1)
				time.Sleep(time.Hour)
				woken.Add(1)
			}()
		}
		for arrived.Load() < int64(count) {
			runtime.Gosched()
		}
		after, err := residentBytes()
		if err != nil {
			return sample{}, err
		}
		if woken.Load() != 0 {
			return sample{}, errors.New("some goroutines were not asleep")
		}
		return sample{value: (after - before) / float64(count)}, nil
	}
}

func sleepStorm(count int) func(int) (sample, error) {
	return func(int) (sample, error) {
		const naps = 20
		var early atomic.Int64
		var sleepers sync.WaitGroup
		start := time.Now()
		for i := 0; i < count; i++ {
			sleepers.Add(1)
			go func() {
				defer sleepers.Done()
				for j := 0; j < naps; j++ {
					wanted := time.Duration(1+j%5) * time.Millisecond
					began := time.Now()
					time.Sleep(wanted)
					if time.Since(began) < wanted {
						early.Add(1)
					}
				}
			}()
		}
		sleepers.Wait()
		elapsed := time.Since(start)
		if early.Load() != 0 {
			return sample{}, errors.New("some naps ended early")
		}
		return sample{elapsed: elapsed}, nil
	}
}
