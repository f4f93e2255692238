// SPDX-License-Identifier: MIT

package main

// run.sh makes workload.h, which includes the workload.

/*
#include "workload.h"

struct work_step {
	int is_cut;
	work_piece low, high;
	work_result result;
};

// One call into C for each piece: it costs tens of nanoseconds.
static inline struct work_step work_take_step(work_piece piece)
{
	struct work_step step = {0};

	step.is_cut = work_cut(piece, &step.low, &step.high);
	if (!step.is_cut)
		step.result = work_do(piece);
	return step;
}
*/
import "C"

import "runtime"

// GOMAXPROCS does not count goroutines that are in C for more than some microseconds.
var workers chan struct{}

func divide(piece C.work_piece) C.work_result {
	workers <- struct{}{}
	step := C.work_take_step(piece)
	<-workers
	if step.is_cut == 0 {
		return step.result
	}
	high := make(chan C.work_result, 1)
	go func() { high <- divide(step.high) }()
	low := divide(step.low)
	return C.work_join(low, <-high)
}

//export template_go_divide
func template_go_divide(piece *C.work_piece, result *C.work_result) {
	*result = divide(*piece)
}

//export template_go_set_workers
func template_go_set_workers(count C.uint) {
	workers = make(chan struct{}, int(count))
	runtime.GOMAXPROCS(int(count))
}

func main() {}
