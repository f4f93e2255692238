// SPDX-License-Identifier: MIT

package main

import (
	"errors"
	"fmt"
	"math"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// Divided work and loops by goroutines.  The work is that of harness/matmul.h, integrate.h,
// cilksort.h and loops.h, that of divide.go is in strassen.h and knapsack.h: the same sizes, leaves
// and checks.

func init() {
	all := []struct {
		name string
		run  func() (time.Duration, error)
	}{
		{"forkjoin/matmul/n=512", matmul},
		{"forkjoin/integrate", integrateAll},
		{"forkjoin/cilksort/n=1048576", cilksort},
		{"forkjoin/strassen/n=512", strassenAll},
		{"forkjoin/knapsack/n=40", knapsackAll},
		{"parallel/nbody/n=2048", nbody},
		{"parallel/mandelbrot/n=256", mandelbrot},
		{"parallel/scan/n=4194304", scan},
	}
	for _, work := range all {
		run := work.run
		for _, workers := range []int{1, 2, 4, 8} {
			benchmarks = append(benchmarks, benchmark{
				fmt.Sprintf("%s/workers=%d", work.name, workers), seconds, workers, 1,
				func(int) (sample, error) {
					elapsed, err := run()
					return sample{elapsed: elapsed}, err
				}})
		}
	}
}

// The first function runs here, the others in goroutines of their own.
func together(first func(), others ...func()) {
	var group sync.WaitGroup
	group.Add(len(others))
	for _, other := range others {
		go func(other func()) {
			defer group.Done()
			other()
		}(other)
	}
	first()
	group.Wait()
}

// As many goroutines as there are Ps take pieces from a shared counter.
func parallelFor(count, piece int, body func(begin, end int)) {
	var next atomic.Int64
	var group sync.WaitGroup
	for i := runtime.GOMAXPROCS(0); i > 0; i-- {
		group.Add(1)
		go func() {
			defer group.Done()
			for {
				end := int(next.Add(int64(piece)))
				begin := end - piece
				if begin >= count {
					return
				}
				if end > count {
					end = count
				}
				body(begin, end)
			}
		}()
	}
	group.Wait()
}

const (
	matmulSize = 512
	matmulLeaf = 32
)

var matmulA, matmulB, matmulC [matmulSize * matmulSize]float64

type block struct{ c, a, b, size int } // where its first elements are

func (m block) quarter(row, middle, column int) block {
	half := m.size / 2
	return block{
		m.c + (row*matmulSize+column)*half, m.a + (row*matmulSize+middle)*half,
		m.b + (middle*matmulSize+column)*half, half,
	}
}

func (m block) leaf() {
	for i := 0; i < m.size; i++ {
		c := matmulC[m.c+i*matmulSize : m.c+i*matmulSize+m.size]
		for k := 0; k < m.size; k++ {
			factor := matmulA[m.a+i*matmulSize+k]
			// The slices have one length, so there is no check of bounds inside the loop.
			b := matmulB[m.b+k*matmulSize:][:len(c)]
			for j := range c {
				c[j] += factor * b[j]
			}
		}
	}
}

func (m block) multiply() {
	if m.size <= matmulLeaf {
		m.leaf()
		return
	}
	for middle := 0; middle < 2; middle++ {
		together(func() { m.quarter(0, middle, 0).multiply() },
			func() { m.quarter(0, middle, 1).multiply() },
			func() { m.quarter(1, middle, 0).multiply() },
			func() { m.quarter(1, middle, 1).multiply() })
	}
}

func matmulIsRight() bool {
	var bx [matmulSize]float64
	for i := range bx {
		for j := range bx {
			bx[i] += matmulB[i*matmulSize+j] * float64(j%101+1)
		}
	}
	for i := range bx {
		cx, abx := 0.0, 0.0
		for j := range bx {
			cx += matmulC[i*matmulSize+j] * float64(j%101+1)
			abx += matmulA[i*matmulSize+j] * bx[j]
		}
		if cx != abx {
			return false
		}
	}
	return true
}

func matmulPrepare() {
	for i := range matmulC {
		matmulA[i] = float64((i*7+i/matmulSize)%17 - 8)
		matmulB[i] = float64((i*5+i/matmulSize)%13 - 6)
		matmulC[i] = 0
	}
}

func matmul() (time.Duration, error) {
	matmulPrepare()
	start := time.Now()
	block{size: matmulSize}.multiply()
	elapsed := time.Since(start)
	if !matmulIsRight() {
		return 0, errors.New("the product is wrong")
	}
	return elapsed, nil
}

const (
	integrateEnd       = 100.0
	integrateLeaves    = 833659
	integrateTolerance = 1e-10
)

type piece struct{ left, right, atLeft, atRight, area float64 }

func integrateAt(x float64) float64 { return (x*x + 1) * x }

// A goroutine for each cut would be a hundred times as much as the cut itself: below some thousands
// of them the rest are plain calls, as a program in Go would have it.
const integrateDepth = 12

func (p piece) integrate(depth int) (area float64, leaves int) {
	middle, half := (p.left+p.right)/2, (p.right-p.left)/2
	at := integrateAt(middle)
	low := piece{p.left, middle, p.atLeft, at, (p.atLeft + at) * half / 2}
	high := piece{middle, p.right, at, p.atRight, (at + p.atRight) * half / 2}
	if math.Abs(low.area+high.area-p.area) <= integrateTolerance {
		return low.area + high.area, 1
	}
	var otherArea float64
	var otherLeaves int
	if depth == 0 {
		area, leaves = low.integrate(0)
		otherArea, otherLeaves = high.integrate(0)
	} else {
		together(func() { area, leaves = low.integrate(depth - 1) },
			func() { otherArea, otherLeaves = high.integrate(depth - 1) })
	}
	return area + otherArea, leaves + otherLeaves
}

func integrateAll() (time.Duration, error) {
	top := integrateAt(integrateEnd)
	start := time.Now()
	area, leaves := piece{0, integrateEnd, 0, top, top * integrateEnd / 2}.integrate(integrateDepth)
	elapsed := time.Since(start)
	exact := integrateEnd * integrateEnd * (integrateEnd*integrateEnd/4 + 0.5)
	if leaves != integrateLeaves || math.Abs(area-exact) > 1e-9*exact {
		return 0, fmt.Errorf("%v from %d leaves is wrong", area, leaves)
	}
	return elapsed, nil
}

const (
	nbodyCount      = 2048
	mandelbrotSize  = 256
	mandelbrotSteps = 1000
	mandelbrotSum   = 13589901
	scanCount       = 1 << 22
	scanBlock       = 1 << 14
	scanBlocks      = scanCount / scanBlock
)

var nbodyPlace, nbodyPull [nbodyCount][3]float64

func nbodyRows(begin, end int) {
	for i := begin; i < end; i++ {
		var x, y, z float64
		own := nbodyPlace[i]
		for j := range nbodyPlace {
			other := &nbodyPlace[j]
			dx, dy, dz := other[0]-own[0], other[1]-own[1], other[2]-own[2]
			square := dx*dx + dy*dy + dz*dz + 0.01
			factor := 1 / (square * math.Sqrt(square))
			x += dx * factor
			y += dy * factor
			z += dz * factor
		}
		nbodyPull[i] = [3]float64{x, y, z}
	}
}

func nbody() (time.Duration, error) {
	for i := range nbodyPlace {
		nbodyPlace[i] = [3]float64{float64(i * 37 % 1009), float64(i * 101 % 997),
			float64(i * 53 % 991)}
		nbodyPull[i] = [3]float64{}
	}
	start := time.Now()
	parallelFor(nbodyCount, nbodyCount/(4*runtime.GOMAXPROCS(0)), nbodyRows)
	elapsed := time.Since(start)
	sum, size := 0.0, 0.0
	for _, pull := range nbodyPull {
		if pull[0] == 0 {
			return 0, errors.New("a body was left out")
		}
		for _, value := range pull {
			sum += value
			size += math.Abs(value)
		}
	}
	if math.Abs(sum) > 1e-9*size {
		return 0, errors.New("the pulls do not cancel out")
	}
	return elapsed, nil
}

func mandelbrotRow(row int) (sum int64) {
	b := 2.5*float64(row)/mandelbrotSize - 1.25
	for column := 0; column < mandelbrotSize; column++ {
		a := 3.0*float64(column)/mandelbrotSize - 2.25
		x, y, steps := 0.0, 0.0, int64(0)
		for steps < mandelbrotSteps && x*x+y*y <= 4 {
			x, y = x*x-y*y+a, 2*x*y+b
			steps++
		}
		sum += steps
	}
	return sum
}

func mandelbrot() (time.Duration, error) {
	var rows [mandelbrotSize]int64
	start := time.Now()
	parallelFor(mandelbrotSize, 1, func(begin, end int) {
		for row := begin; row < end; row++ {
			rows[row] = mandelbrotRow(row)
		}
	})
	elapsed := time.Since(start)
	sum := int64(0)
	for _, row := range rows {
		sum += row
	}
	if sum != mandelbrotSum {
		return 0, fmt.Errorf("the picture is wrong: %d", sum)
	}
	return elapsed, nil
}

var scanIn, scanOut []uint64

func scan() (time.Duration, error) {
	if scanIn == nil {
		scanIn, scanOut = make([]uint64, scanCount), make([]uint64, scanCount)
	}
	for i := range scanIn {
		scanIn[i], scanOut[i] = uint64(i%1000), 0
	}
	var sums [scanBlocks]uint64
	grain := scanBlocks / (4 * runtime.GOMAXPROCS(0))
	start := time.Now()
	parallelFor(scanBlocks, grain, func(begin, end int) {
		for block := begin; block < end; block++ {
			sum := uint64(0)
			for _, value := range scanIn[block*scanBlock : (block+1)*scanBlock] {
				sum += value
			}
			sums[block] = sum
		}
	})
	sum := uint64(0)
	for block, own := range sums {
		sums[block] = sum
		sum += own
	}
	parallelFor(scanBlocks, grain, func(begin, end int) {
		for block := begin; block < end; block++ {
			sum := sums[block]
			in := scanIn[block*scanBlock : (block+1)*scanBlock]
			out := scanOut[block*scanBlock:][:len(in)]
			for i, value := range in {
				sum += value
				out[i] = sum
			}
		}
	})
	elapsed := time.Since(start)
	sum = 0
	for i, value := range scanOut {
		if sum += uint64(i % 1000); value != sum {
			return 0, errors.New("the sums are wrong")
		}
	}
	return elapsed, nil
}
