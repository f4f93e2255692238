// SPDX-License-Identifier: MIT

package main

import (
	"errors"
	"time"
)

// Cilk's merge sort, as harness/cilksort.h has it: the same numbers, leaves and quicksort.

const (
	cilksortCount     = 1 << 20
	cilksortLeaf      = 2048
	cilksortInsertion = 20
)

func middleOf(a, b, c uint32) uint32 {
	if a > b {
		a, b = b, a
	}
	if c < a {
		return a
	}
	if c < b {
		return c
	}
	return b
}

func quicksort(values []uint32) {
	for len(values) > cilksortInsertion {
		pivot := middleOf(values[0], values[len(values)/2], values[len(values)-1])
		low, high := -1, len(values)
		for {
			for low++; values[low] < pivot; low++ {
			}
			for high--; values[high] > pivot; high-- {
			}
			if low >= high {
				break
			}
			values[low], values[high] = values[high], values[low]
		}
		quicksort(values[high+1:])
		values = values[:high+1]
	}
	for i := 1; i < len(values); i++ {
		value, place := values[i], i
		for ; place > 0 && values[place-1] > value; place-- {
			values[place] = values[place-1]
		}
		values[place] = value
	}
}

func mergeLeaf(a, b, to []uint32) {
	i, j, k := 0, 0, 0
	for i < len(a) && j < len(b) {
		if b[j] < a[i] {
			to[k] = b[j]
			j++
		} else {
			to[k] = a[i]
			i++
		}
		k++
	}
	k += copy(to[k:], a[i:])
	copy(to[k:], b[j:])
}

func mergeAll(a, b, to []uint32) {
	if len(a)+len(b) <= cilksortLeaf {
		mergeLeaf(a, b, to)
		return
	}
	if len(a) < len(b) {
		a, b = b, a
	}
	half, first, last := len(a)/2, 0, len(b)
	for first < last {
		if middle := (first + last) / 2; b[middle] < a[half] {
			first = middle + 1
		} else {
			last = middle
		}
	}
	together(func() { mergeAll(a[:half], b[:first], to[:half+first]) },
		func() { mergeAll(a[half:], b[first:], to[half+first:]) })
}

func sortAll(values, room []uint32) {
	if len(values) <= cilksortLeaf {
		quicksort(values)
		return
	}
	quarter := len(values) / 4
	half, last := 2*quarter, 3*quarter
	together(func() { sortAll(values[:quarter], room[:quarter]) },
		func() { sortAll(values[quarter:half], room[quarter:half]) },
		func() { sortAll(values[half:last], room[half:last]) },
		func() { sortAll(values[last:], room[last:]) })
	together(func() { mergeAll(values[:quarter], values[quarter:half], room[:half]) },
		func() { mergeAll(values[half:last], values[last:], room[half:]) })
	mergeAll(room[:half], room[half:], values)
}

func cilksort() (time.Duration, error) {
	values, room := make([]uint32, cilksortCount), make([]uint32, cilksortCount)
	state, sum := uint64(1), uint64(0)
	for i := range values {
		state = state*6364136223846793005 + 1442695040888963407
		values[i] = uint32(state >> 32)
		room[i] = 0 // touched, as the other implementations' is after the first sample
		sum += uint64(values[i])
	}
	start := time.Now()
	sortAll(values, room)
	elapsed := time.Since(start)
	for i, value := range values {
		sum -= uint64(value)
		if i > 0 && values[i-1] > value {
			return 0, errors.New("the numbers are not sorted")
		}
	}
	if sum != 0 {
		return 0, errors.New("some numbers are lost")
	}
	return elapsed, nil
}
