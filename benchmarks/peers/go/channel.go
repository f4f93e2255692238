// SPDX-License-Identifier: MIT

// Channels beside weft's.
package main

import (
	"fmt"
	"sync"
	"time"
)

func channelPingpong(batch int) (sample, error) {
	there := make(chan uint64)
	back := make(chan uint64)
	go func() {
		for value := range there {
			back <- value + 1
		}
	}()
	wrong := 0
	start := time.Now()
	for i := uint64(0); i < uint64(batch); i++ {
		there <- i
		if <-back != i+1 {
			wrong++
		}
	}
	elapsed := time.Since(start)
	close(there)
	if wrong != 0 {
		return sample{}, fmt.Errorf("%d answers were wrong", wrong)
	}
	return sample{elapsed: elapsed}, nil
}

func channelThroughput(senders, receivers int) func(int) (sample, error) {
	return func(batch int) (sample, error) {
		channel := make(chan uint64, 128)
		share := uint64(batch/senders + 1)
		sums := make([]uint64, receivers)
		var sending, receiving sync.WaitGroup
		start := time.Now()
		receiving.Add(receivers)
		for i := 0; i < receivers; i++ {
			go func(sum *uint64) {
				defer receiving.Done()
				own := uint64(0)
				for value := range channel {
					own += value
				}
				*sum = own
			}(&sums[i])
		}
		sending.Add(senders)
		for i := 0; i < senders; i++ {
			go func() {
				defer sending.Done()
				for value := uint64(1); value <= share; value++ {
					channel <- value
				}
			}()
		}
		sending.Wait()
		close(channel)
		receiving.Wait()
		elapsed := time.Since(start)
		total := uint64(0)
		for _, sum := range sums {
			total += sum
		}
		if total != share*(share+1)/2*uint64(senders) {
			return sample{}, fmt.Errorf("values were lost")
		}
		return sample{elapsed: elapsed}, nil
	}
}

func selectFour(batch int) (sample, error) {
	var channels [4]chan uint64
	var done sync.WaitGroup
	for i := range channels {
		channels[i] = make(chan uint64)
	}
	share := batch/4 + 1
	sum := uint64(0)
	start := time.Now()
	done.Add(4)
	for i := range channels {
		go func(channel chan<- uint64) {
			defer done.Done()
			for value := uint64(1); value <= uint64(share); value++ {
				channel <- value
			}
		}(channels[i])
	}
	for i := 0; i < 4*share; i++ {
		select {
		case value := <-channels[0]:
			sum += value
		case value := <-channels[1]:
			sum += value
		case value := <-channels[2]:
			sum += value
		case value := <-channels[3]:
			sum += value
		}
	}
	done.Wait()
	elapsed := time.Since(start)
	if sum != uint64(share)*uint64(share+1)/2*4 {
		return sample{}, fmt.Errorf("values were lost")
	}
	return sample{elapsed: elapsed}, nil
}
