// SPDX-License-Identifier: MIT

package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path"
	"runtime"
	"sort"
	"strconv"
	"strings"
	"time"
)

// The same calibration, options and output as harness/bench.c, so that the driver can treat every
// program alike.

const (
	sampleMin      = 20 * time.Millisecond
	sampleMinQuick = 5 * time.Millisecond
	samplingMax    = time.Second
)

type metric string

const (
	nsPerOp       metric = "ns_per_op"
	seconds       metric = "s"
	bytesPerFiber metric = "bytes_per_fiber"
	reports       metric = "report" // one run gives several metrics by their names
)

// A benchmark does batch operations and returns the time they took; a memory benchmark returns
// bytes per goroutine through value instead.
type sample struct {
	elapsed time.Duration
	value   float64
	reports []report
}

type report struct {
	metric metric
	higher bool // is better
	value  float64
}

// Set by --quick: a shorter window will do.
var isQuick bool

type benchmark struct {
	name    string
	metric  metric
	workers int
	ops     int
	run     func(batch int) (sample, error)
}

type result struct {
	Bench   string    `json:"bench"`
	Metric  metric    `json:"metric"`
	Impl    string    `json:"impl"`
	Workers int       `json:"workers"`
	Better  string    `json:"better"`
	Median  float64   `json:"median"`
	Min     float64   `json:"min"`
	Max     float64   `json:"max"`
	N       int       `json:"n"`
	Samples []float64 `json:"samples"`
}

func (b *benchmark) convert(s sample, batch int) float64 {
	switch b.metric {
	case nsPerOp:
		return float64(s.elapsed.Nanoseconds()) / (float64(batch) * float64(b.ops))
	case seconds:
		return s.elapsed.Seconds()
	}
	return s.value
}

func (b *benchmark) calibrate(wanted time.Duration) (int, error) {
	batch := 1
	wasLongEnough := false
	for {
		s, err := b.run(batch)
		isLongEnough := s.elapsed >= wanted
		if err != nil || isLongEnough && wasLongEnough {
			return batch, err
		}
		wasLongEnough = isLongEnough
		if isLongEnough {
			continue
		}
		factor := 10.0
		if s.elapsed > 0 {
			if exact := 1.2 * float64(wanted) / float64(s.elapsed); exact < factor {
				factor = exact
			}
		}
		batch = int(float64(batch)*factor) + 1
	}
}

func (b *benchmark) measure(samples int) ([]result, error) {
	runtime.GOMAXPROCS(b.workers)
	batch := 1
	switch b.metric {
	case nsPerOp:
		wanted := sampleMin
		if isQuick {
			wanted = sampleMinQuick
		}
		var err error
		if batch, err = b.calibrate(wanted); err != nil {
			return nil, err
		}
	case seconds:
		// To warm up: who takes long has no other sample than the next.
		if _, err := b.run(batch); err != nil {
			return nil, err
		}
	case bytesPerFiber:
		samples = 1
	case reports:
		s, err := b.run(batch)
		if err != nil {
			return nil, err
		}
		var rows []result
		for _, r := range s.reports {
			rows = append(rows, b.result(r.metric, r.higher, []float64{r.value}))
		}
		return rows, nil
	}
	values := make([]float64, 0, samples)
	spent := time.Duration(0)
	for len(values) < samples && spent < samplingMax {
		s, err := b.run(batch)
		if err != nil {
			return nil, err
		}
		spent += s.elapsed
		values = append(values, b.convert(s, batch))
	}
	return []result{b.result(b.metric, false, values)}, nil
}

func (b *benchmark) result(name metric, higher bool, values []float64) result {
	sorted := append([]float64(nil), values...)
	sort.Float64s(sorted)
	n := len(sorted)
	better := "lower"
	if higher {
		better = "higher"
	}
	return result{
		Bench: b.name, Metric: name, Impl: "go", Workers: b.workers, Better: better,
		Median: (sorted[(n-1)/2] + sorted[n/2]) / 2, Min: sorted[0], Max: sorted[n-1], N: n,
		Samples: values,
	}
}

// Bytes resident, page tables included, as harness/bench.c reads them.
func residentBytes() (float64, error) {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, err
	}
	total := 0.0
	for _, line := range strings.Split(string(status), "\n") {
		fields := strings.Fields(line)
		if len(fields) >= 2 && (fields[0] == "VmRSS:" || fields[0] == "VmPTE:") {
			kib, err := strconv.ParseFloat(fields[1], 64)
			if err != nil {
				return 0, err
			}
			total += kib * 1024
		}
	}
	if total == 0 {
		return 0, errors.New("no VmRSS in /proc/self/status")
	}
	return total, nil
}

type globs []string

func (g *globs) String() string     { return strings.Join(*g, " ") }
func (g *globs) Set(s string) error { *g = append(*g, s); return nil }

// path.Match's star stops at a slash; in the names of benchmarks it must not.
func (g globs) match(name string) bool {
	const slash = "\x00"
	for _, glob := range g {
		ok, err := path.Match(strings.ReplaceAll(glob, "/", slash), strings.ReplaceAll(name, "/", slash))
		if err == nil && ok {
			return true
		}
	}
	return len(g) == 0
}

func main() {
	var only globs
	list := flag.Bool("list", false, "print the names of the benchmarks and end")
	flag.BoolVar(&isQuick, "quick", false, "shorter samples")
	samples := flag.Int("samples", 5, "samples per benchmark")
	flag.Var(&only, "only", "run those whose name matches; may be given several times")
	flag.Parse()
	if flag.NArg() != 0 || *samples < 1 {
		fmt.Fprintln(os.Stderr, "unexpected argument")
		os.Exit(2)
	}

	status, matched := 0, 0
	for i := range benchmarks {
		b := &benchmarks[i]
		if !only.match(b.name) {
			continue
		}
		matched++
		if *list {
			fmt.Println(b.name)
			continue
		}
		rows, err := b.measure(*samples)
		if err != nil {
			fmt.Fprintf(os.Stderr, "%s (go): FAILED: %v\n", b.name, err)
			status = 1
			continue
		}
		for _, row := range rows {
			line, err := json.Marshal(row)
			if err != nil {
				fmt.Fprintln(os.Stderr, err)
				os.Exit(1)
			}
			fmt.Println(string(line))
		}
	}
	if matched == 0 {
		fmt.Fprintln(os.Stderr, "no benchmark matches")
		status = 2
	}
	os.Exit(status)
}
