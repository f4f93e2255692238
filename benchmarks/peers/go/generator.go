// SPDX-License-Identifier: MIT

//go:build go1.23

// iter.Pull beside weft's generators.
package main

import (
	"fmt"
	"iter"
	"time"
)

func generatorNext(batch int) (sample, error) {
	next, stop := iter.Pull(func(yield func(uint64) bool) {
		for i := uint64(1); yield(i); i++ {
		}
	})
	wrong := 0
	start := time.Now()
	for i := uint64(1); i <= uint64(batch); i++ {
		if value, ok := next(); !ok || value != i {
			wrong++
		}
	}
	elapsed := time.Since(start)
	stop()
	if wrong != 0 {
		return sample{}, fmt.Errorf("%d numbers were wrong", wrong)
	}
	return sample{elapsed: elapsed}, nil
}
