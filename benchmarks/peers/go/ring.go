// SPDX-License-Identifier: MIT

package main

import (
	"fmt"
	"sync"
	"time"
)

// Goroutines that pass something on.

func ringPass(batch int) (sample, error) {
	const places = 503
	var passed [places]int
	var ended sync.WaitGroup
	done := make(chan int)
	var channels [places]chan int
	for i := range channels {
		channels[i] = make(chan int)
	}
	ended.Add(places)
	for i := range channels {
		go func(i int) {
			defer ended.Done()
			next := channels[(i+1)%places]
			for token := range channels[i] {
				passed[i]++
				if token > 0 {
					next <- token - 1
				} else {
					done <- 0
				}
			}
		}(i)
	}
	start := time.Now()
	channels[0] <- batch
	<-done
	elapsed := time.Since(start)
	sum := 0
	for _, channel := range channels {
		close(channel)
	}
	ended.Wait()
	for _, count := range passed {
		sum += count
	}
	if sum != batch+1 {
		return sample{}, fmt.Errorf("%d passes", sum)
	}
	return sample{elapsed: elapsed}, nil
}

type creature struct {
	met      chan struct{} // with room for one, so that who wakes it need not wait
	colour   int
	meetings int
}

type mall struct {
	mutex   sync.Mutex
	left    int
	waiting *creature
}

func (m *mall) visit(self *creature) {
	for {
		m.mutex.Lock()
		if m.left == 0 {
			m.mutex.Unlock()
			return
		}
		self.meetings++
		other := m.waiting
		if other == nil {
			m.waiting = self
			m.mutex.Unlock()
			<-self.met
			continue
		}
		m.waiting = nil
		m.left--
		if self.colour != other.colour {
			self.colour = 3 - self.colour - other.colour
		}
		other.colour = self.colour
		m.mutex.Unlock()
		other.met <- struct{}{}
	}
}

func chameneosMeet(batch int) (sample, error) {
	place := mall{left: batch}
	var creatures [10]creature
	var group sync.WaitGroup
	start := time.Now()
	for i := range creatures {
		self := &creatures[i]
		*self = creature{met: make(chan struct{}, 1), colour: i % 3}
		group.Add(1)
		go func() {
			defer group.Done()
			place.visit(self)
		}()
	}
	group.Wait()
	elapsed := time.Since(start)
	meetings := 0
	for i := range creatures {
		meetings += creatures[i].meetings
	}
	if meetings != 2*batch {
		return sample{}, fmt.Errorf("%d meetings", meetings)
	}
	return sample{elapsed: elapsed}, nil
}
