// SPDX-License-Identifier: MIT

package main

import (
	"errors"
	"fmt"
	"sync"
	"time"
)

const (
	strassenLeaf     = 64
	strassenProducts = 7
)

// Rows of a square within a slice that begins at its first element.
type square struct {
	values []float64
	row    int
}

func (m square) quarter(number, half int) square {
	return square{m.values[(number/2*m.row+number%2)*half:], m.row}
}

// Quarters are numbered 0 1 above 2 3: first + sign * second.
type factor struct {
	first, second int
	sign          float64
}

var strassenA = [strassenProducts]factor{
	{0, 3, 1}, {2, 3, 1}, {0, 0, 0}, {3, 3, 0}, {0, 1, 1}, {2, 0, -1}, {1, 3, -1}}
var strassenB = [strassenProducts]factor{
	{0, 3, 1}, {0, 0, 0}, {1, 3, -1}, {2, 0, -1}, {3, 3, 0}, {0, 1, 1}, {2, 3, 1}}

// As much as all products below one of so many rows need, made once.
func strassenRoom(size int) int {
	if size <= strassenLeaf {
		return 0
	}
	half := size / 2
	return strassenProducts * (3*half*half + strassenRoom(half))
}

var strassenMemory []float64

func (f factor) of(m square, half int, to []float64) square {
	first := m.quarter(f.first, half)
	if f.sign == 0 {
		return first
	}
	second := m.quarter(f.second, half)
	for i := 0; i < half; i++ {
		sum := to[i*half : (i+1)*half]
		a := first.values[i*first.row:][:len(sum)]
		b := second.values[i*second.row:][:len(sum)]
		for j := range sum {
			sum[j] = a[j] + f.sign*b[j]
		}
	}
	return square{to, half}
}

func strassenPlain(c, a, b square, size int) {
	for i := 0; i < size; i++ {
		to := c.values[i*c.row:][:size]
		for j := range to {
			to[j] = 0
		}
		for k := 0; k < size; k++ {
			factor := a.values[i*a.row+k]
			from := b.values[k*b.row:][:len(to)]
			for j := range to {
				to[j] += factor * from[j]
			}
		}
	}
}

func strassen(c, a, b square, size int, room []float64) {
	if size <= strassenLeaf {
		strassenPlain(c, a, b, size)
		return
	}
	half := size / 2
	area := half * half
	part := strassenRoom(size) / strassenProducts
	multiply := func(number int) {
		own := room[number*part : (number+1)*part]
		strassen(square{own[:area], half}, strassenA[number].of(a, half, own[area:2*area]),
			strassenB[number].of(b, half, own[2*area:3*area]), half, own[3*area:])
	}
	var group sync.WaitGroup
	for number := 1; number < strassenProducts; number++ {
		group.Add(1)
		go func(number int) {
			defer group.Done()
			multiply(number)
		}(number)
	}
	multiply(0)
	group.Wait()
	strassenJoin(c, half, func(number int) []float64 { return room[number*part:][:area] })
}

func strassenJoin(c square, half int, product func(int) []float64) {
	m0, m1, m2, m3 := product(0), product(1), product(2), product(3)
	m4, m5, m6 := product(4), product(5), product(6)
	for i := 0; i < half; i++ {
		above, under := c.values[i*c.row:][:2*half], c.values[(half+i)*c.row:][:2*half]
		for j := 0; j < half; j++ {
			at := i*half + j
			above[j] = m0[at] + m3[at] - m4[at] + m6[at]
			above[half+j] = m2[at] + m4[at]
			under[j] = m1[at] + m3[at]
			under[half+j] = m0[at] - m1[at] + m2[at] + m5[at]
		}
	}
}

func strassenAll() (time.Duration, error) {
	matmulPrepare()
	if strassenMemory == nil {
		strassenMemory = make([]float64, strassenRoom(matmulSize))
	}
	// Its pages are there before the clock runs.
	for i := range strassenMemory {
		strassenMemory[i] = 0
	}
	start := time.Now()
	strassen(square{matmulC[:], matmulSize}, square{matmulA[:], matmulSize},
		square{matmulB[:], matmulSize}, matmulSize, strassenMemory)
	elapsed := time.Since(start)
	if !matmulIsRight() {
		return 0, errors.New("the product is wrong")
	}
	return elapsed, nil
}

const (
	knapsackItems    = 40
	knapsackCapacity = 1000
	knapsackBound    = 1440
	knapsackBest     = 1470
	knapsackNodes    = 1932731
	// Below so many decisions the rest are plain calls, as for integrate.
	knapsackDepth = 12
)

var knapsackValues, knapsackWeights [knapsackItems]int

func knapsackPrepare() {
	state := uint32(1)
	next := func(limit uint32) int {
		state = state*1664525 + 1013904223
		return int((state >> 16) % limit)
	}
	for i := range knapsackValues {
		weight := 20 + next(60)
		value := weight + next(30)
		place := i
		for ; place > 0 && knapsackValues[place-1]*weight < value*knapsackWeights[place-1]; place-- {
			knapsackValues[place] = knapsackValues[place-1]
			knapsackWeights[place] = knapsackWeights[place-1]
		}
		knapsackValues[place], knapsackWeights[place] = value, weight
	}
}

func knapsackFill(item, room, value int) (best, nodes int) {
	if item == knapsackItems ||
		value+room*knapsackValues[item]/knapsackWeights[item] < knapsackBound {
		return value, 1
	}
	var otherBest, otherNodes int
	fits := knapsackWeights[item] <= room
	with := func() {
		if fits {
			best, nodes = knapsackFill(item+1, room-knapsackWeights[item],
				value+knapsackValues[item])
		}
	}
	without := func() { otherBest, otherNodes = knapsackFill(item+1, room, value) }
	if item < knapsackDepth {
		together(with, without)
	} else {
		with()
		without()
	}
	if otherBest > best {
		best = otherBest
	}
	return best, nodes + otherNodes + 1
}

func knapsackAll() (time.Duration, error) {
	knapsackPrepare()
	start := time.Now()
	best, nodes := knapsackFill(0, knapsackCapacity, 0)
	elapsed := time.Since(start)
	if best != knapsackBest || nodes != knapsackNodes {
		return 0, fmt.Errorf("best %d of %d nodes is wrong", best, nodes)
	}
	return elapsed, nil
}
