// SPDX-License-Identifier: MIT

package main

import (
	"fmt"
	"time"
)

// A goroutine for each call, without a cut-off, as in all programs: what Go has for tasks, though
// nobody would divide work so finely with them.  The results come by channels: measured faster than
// a WaitGroup.  One sample for each process, as they take seconds, and no fib(40), which would take
// minutes.
const (
	fibArgument = 32
	fibNumber   = 2178309
	fibTasks    = 3524577
)

func fib(n int) uint64 {
	if n < 2 {
		return uint64(n)
	}
	left := make(chan uint64, 1)
	go func() { left <- fib(n - 1) }()
	right := fib(n - 2)
	return <-left + right
}

func forkjoinFib(int) (sample, error) {
	fib(fibArgument) // to warm up, as all do
	start := time.Now()
	number := fib(fibArgument)
	elapsed := time.Since(start)
	if number != fibNumber {
		return sample{}, fmt.Errorf("fib(%d) is %d", fibArgument, number)
	}
	return sample{reports: []report{{nsPerOp, false, float64(elapsed) / fibTasks}}}, nil
}

const (
	queens          = 13
	queensSolutions = 73712
)

// The queens of the first rows, as in harness/queens.h.
type board struct {
	placed  int
	columns [queens]int8
}

func (b *board) isSafe(column int8) bool {
	for i := 0; i < b.placed; i++ {
		difference, rows := b.columns[i]-column, int8(b.placed-i)
		if difference == 0 || difference == rows || difference == -rows {
			return false
		}
	}
	return true
}

func (b board) place(column int8) board {
	b.columns[b.placed] = column
	b.placed++
	return b
}

func solve(b board) int {
	if b.placed == queens {
		return 1
	}
	found := make(chan int, queens)
	forked := 0
	for column := int8(0); column < queens; column++ {
		if b.isSafe(column) {
			next := b.place(column)
			go func() { found <- solve(next) }()
			forked++
		}
	}
	solutions := 0
	for ; forked > 0; forked-- {
		solutions += <-found
	}
	return solutions
}

func forkjoinQueens(int) (sample, error) {
	solve(board{}) // to warm up, as all do
	start := time.Now()
	solutions := solve(board{})
	elapsed := time.Since(start)
	if solutions != queensSolutions {
		return sample{}, fmt.Errorf("there are %d solutions", solutions)
	}
	return sample{reports: []report{{seconds, false, elapsed.Seconds()}}}, nil
}
