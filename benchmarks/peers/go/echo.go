// SPDX-License-Identifier: MIT

package main

import (
	"errors"
	"fmt"
	"math"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"sort"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// An echo server under the load generator of weft's benchmarks (benchmarks/load/echo_load.c).

const (
	hogConnections = 64
	hogRate        = 50
	hogBurst       = 500 * time.Millisecond
	hogSettle      = 100 * time.Millisecond
)

func hogWindow() time.Duration {
	if isQuick {
		return 1200 * time.Millisecond
	}
	return 3000 * time.Millisecond
}

type echoServer struct {
	listener net.Listener
	bytes    int           // of a message
	serving  chan struct{} // closed when the awaited connections have been accepted
	done     sync.WaitGroup
}

func computeSteps(steps uint64) uint64 {
	x := steps
	for i := uint64(0); i < steps; i++ {
		x = x*6364136223846793005 + 1442695040888963407
	}
	return x
}

// Keeps the compiler from leaving the arithmetic out.
var sink atomic.Uint64

// Answers what comes into the buffer, to the end of the connection.
func serve(connection net.Conn, message []byte, work uint64) {
	defer connection.Close()
	for {
		n, err := connection.Read(message)
		if err != nil {
			return
		}
		if work > 0 {
			sink.Store(computeSteps(work))
		}
		if _, err = connection.Write(message[:n]); err != nil {
			return
		}
	}
}

// Accepts until it is stopped; each connection has a buffer of `room` bytes.
func startAccepting(listener net.Listener, awaited, room int, work uint64) *echoServer {
	server := &echoServer{listener: listener, serving: make(chan struct{})}
	server.done.Add(1)
	go func() {
		defer server.done.Done()
		for accepted := 1; ; accepted++ {
			connection, err := listener.Accept()
			if err != nil {
				return
			}
			server.done.Add(1)
			go func() {
				defer server.done.Done()
				serve(connection, make([]byte, room), work)
			}()
			if accepted == awaited {
				close(server.serving)
			}
		}
	}()
	return server
}

// The buffer has room for more than a message, as that of all servers; net sets TCP_NODELAY by
// itself.
func startEcho(connections, bytes int, work uint64) (*echoServer, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	server := startAccepting(listener, connections, 4*bytes, work)
	server.bytes = bytes
	return server, nil
}

func (s *echoServer) stop() {
	s.listener.Close()
	s.done.Wait()
}

func (s *echoServer) load(connections, rate int, window time.Duration) (map[string]float64, error) {
	port := s.listener.Addr().(*net.TCPAddr).Port
	figures, err := runLoad("bench-echo-load", strconv.Itoa(port), strconv.Itoa(connections),
		strconv.Itoa(rate), strconv.Itoa(int(window.Milliseconds())), strconv.Itoa(s.bytes))
	if err == nil && len(figures) != 6 {
		err = fmt.Errorf("the load generator printed %v", figures)
	}
	return figures, err
}

type hogKind int

const (
	compute hogKind = iota
	usleep
	read
)

// One burst.  The blocking kinds are raw system calls: time.Sleep() and os.File.Read() of a pipe
// would park the goroutine instead.
func (kind hogKind) burst(pipe int) error {
	switch kind {
	case compute:
		for end := time.Now().Add(hogBurst); time.Now().Before(end); {
			sink.Store(computeSteps(10000))
		}
		return nil
	case usleep:
		pause := syscall.NsecToTimespec(hogBurst.Nanoseconds())
		for {
			// Go's own signals interrupt it.
			if err := syscall.Nanosleep(&pause, &pause); err != syscall.EINTR {
				return err
			}
		}
	}
	var byte1 [1]byte
	for {
		if n, err := syscall.Read(pipe, byte1[:]); err != syscall.EINTR {
			if n != 1 {
				return errors.New("no byte in the pipe")
			}
			return err
		}
	}
}

// Lets each read wait as long as the other kinds of burst last.
func feed(pipe int, over *atomic.Bool) {
	for isLast := false; !isLast; {
		time.Sleep(hogBurst)
		isLast = over.Load()
		if _, err := syscall.Write(pipe, []byte{0}); err != nil {
			return
		}
	}
}

func startHogs(kind hogKind, count int, server *echoServer, over *atomic.Bool,
	done *sync.WaitGroup) (*atomic.Int64, error) {
	bursts := new(atomic.Int64)
	for i := 0; i < count; i++ {
		var pipe [2]int
		if err := syscall.Pipe2(pipe[:], syscall.O_CLOEXEC); err != nil {
			return nil, err
		}
		if kind == read {
			go feed(pipe[1], over)
		}
		done.Add(1)
		go func() {
			defer done.Done()
			<-server.serving
			time.Sleep(hogSettle)
			for !over.Load() {
				if kind.burst(pipe[0]) != nil {
					return
				}
				bursts.Add(1)
				runtime.Gosched()
			}
		}()
	}
	return bursts, nil
}

// Microseconds that each millisecond's tick was late.
func tick(over *atomic.Bool) []float64 {
	var late []float64
	due := time.Now()
	for !over.Load() || time.Since(due) > time.Millisecond {
		due = due.Add(time.Millisecond)
		time.Sleep(time.Until(due))
		late = append(late, float64(time.Since(due).Nanoseconds())/1e3)
	}
	sort.Float64s(late)
	return late
}

// The smallest that at least this share of them do not exceed, as harness/bench.c has it.
func percentile(sorted []float64, share float64) float64 {
	rank := int(math.Ceil(float64(len(sorted)) * share))
	return sorted[max(1, min(rank, len(sorted)))-1]
}

func hogEcho(kind hogKind, count int) func(int) (sample, error) {
	return func(int) (sample, error) {
		var over atomic.Bool
		var done sync.WaitGroup
		server, err := startEcho(hogConnections, echoBytes, 0)
		if err != nil {
			return sample{}, err
		}
		bursts, err := startHogs(kind, count, server, &over, &done)
		if err != nil {
			return sample{}, err
		}
		ticks := make(chan []float64)
		go func() { ticks <- tick(&over) }()
		echo, err := server.load(hogConnections, hogRate, hogWindow())
		over.Store(true)
		late := <-ticks
		if err != nil {
			return sample{}, err
		}
		done.Wait()
		server.stop()
		if bursts.Load() < int64(count) || len(late) < 100 {
			return sample{}, errors.New("some hog or the timer never ran")
		}
		var found []report
		for _, name := range []string{"p50_us", "p99_us", "p999_us", "max_us"} {
			found = append(found, report{metric(name), false, echo[name]})
		}
		if kind != compute || count == 0 {
			found = append(found,
				report{"cpu_us_per_request", false, echo["cpu_us"] / echo["requests"]})
		}
		return sample{reports: append(found,
			report{"timer_p99_us", false, percentile(late, 0.99)},
			report{"timer_p999_us", false, percentile(late, 0.999)},
			report{"timer_max_us", false, percentile(late, 1)})}, nil
	}
}

// Without the workers' shares: Go does not tell which thread ran what.
func balanceEcho(int) (sample, error) {
	const connections, workSteps, window = 32, 16000, 2200 * time.Millisecond
	server, err := startEcho(connections, echoBytes, workSteps)
	if err != nil {
		return sample{}, err
	}
	echo, err := server.load(connections, 0, window)
	if err != nil {
		return sample{}, err
	}
	server.stop()
	return sample{reports: []report{
		{"requests_per_s", true, echo["requests"] / window.Seconds()},
		{"cpu_us_per_request", false, echo["cpu_us"] / echo["requests"]},
	}}, nil
}

// One P for each of the two workers; the server's own CPU time in the window.
const (
	openConnections = 64
	echoBytes       = 64 // of a message, where a row says nothing else
	// Of the load generator: a rate above is a part of what the server can do, in per cent.
	partOfCapacity = 1000000
)

func init() {
	add := func(kind string, number int, run func(int) (sample, error)) {
		name := fmt.Sprintf("echo/%s=%d", kind, number)
		benchmarks = append(benchmarks, benchmark{name, reports, 2, 1, run})
	}
	for _, connections := range []int{1, 16, 64, 1000, 10000, 50000} {
		add("tcp/connections", connections, echoTCP(connections, echoBytes))
	}
	add("tcp/connections=64/size", 65536, echoTCP(64, 65536))
	for _, rate := range []int{6400, 19200, 38400, 57600, 76800} {
		add("open/rate", rate, echoOpen(rate/openConnections))
	}
	for _, percent := range []int{10, 25, 50, 75, 90, 95} {
		add("open/load", percent, echoOpen(partOfCapacity+percent))
	}
}

func serveLoad(connections, bytes, rate int) (map[string]float64, time.Duration, error) {
	window := loadWindow()
	server, err := startEcho(connections, bytes, 0)
	if err != nil {
		return nil, 0, err
	}
	defer server.stop()
	figures, err := server.load(connections, rate, window)
	if err != nil {
		return nil, 0, err
	}
	figures["cpu_us_per_request"] = figures["cpu_us"] / figures["requests"]
	return figures, window, nil
}

func echoTCP(connections, bytes int) func(int) (sample, error) {
	return func(int) (sample, error) {
		figures, window, err := serveLoad(connections, bytes, 0)
		if err != nil {
			return sample{}, err
		}
		return sample{reports: []report{
			{"requests_per_s", true, figures["requests"] / window.Seconds()},
			{"cpu_us_per_request", false, figures["cpu_us_per_request"]},
		}}, nil
	}
}

func echoOpen(rate int) func(int) (sample, error) {
	return func(int) (sample, error) {
		figures, _, err := serveLoad(openConnections, echoBytes, rate)
		if err != nil {
			return sample{}, err
		}
		var rows []report
		for _, name := range []metric{"p50_us", "p99_us", "p999_us", "max_us", "cpu_us_per_request"} {
			rows = append(rows, report{name, false, figures[string(name)]})
		}
		return sample{reports: rows}, nil
	}
}

func idleParked(count int) func(int) (sample, error) {
	return func(int) (sample, error) {
		window := 5 * time.Second
		if isQuick {
			window = 2 * time.Second
		}
		var arrived, woken atomic.Int64
		for i := 0; i < count; i++ {
			go func() {
				arrived.Add(1)
				time.Sleep(time.Hour)
				woken.Add(1)
			}()
		}
		time.Sleep(3 * time.Second)
		if arrived.Load() != int64(count) {
			return sample{}, errors.New("some goroutines have not begun after three seconds")
		}
		switches, cpu := voluntarySwitches(), cpuTime()
		time.Sleep(window)
		cpu = cpuTime() - cpu
		switches = voluntarySwitches() - switches
		if woken.Load() != 0 {
			return sample{}, errors.New("some goroutines were not asleep")
		}
		return sample{reports: []report{
			{"cpu_us_per_s", false, float64(cpu.Microseconds()) / window.Seconds()},
			{"switches_per_s", false, switches / window.Seconds()}}}, nil
	}
}

func cpuTime() time.Duration {
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		return 0
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

func voluntarySwitches() float64 {
	total := 0.0
	files, _ := filepath.Glob("/proc/self/task/*/status")
	for _, file := range files {
		status, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		for _, line := range strings.Split(string(status), "\n") {
			fields := strings.Fields(line)
			if len(fields) == 2 && fields[0] == "voluntary_ctxt_switches:" {
				switches, _ := strconv.ParseFloat(fields[1], 64)
				total += switches
			}
		}
	}
	return total
}
