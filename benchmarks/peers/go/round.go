// SPDX-License-Identifier: MIT

package main

import (
	"context"
	"errors"
	"net"
	"strconv"
	"sync"
)

// Servers of short exchanges under their load generator (benchmarks/load/round_load.c).

const (
	roundBytes     = 64 // of a message, and of a server's buffer
	roundClients   = 64 // that ask at a time
	roundReceivers = 1  // reads of one socket wait for each other, so more gain nothing
)

func init() {
	benchmarks = append(benchmarks,
		benchmark{"echo/udp", reports, 2, 1, echoUDP},
		benchmark{"connect/churn", reports, 2, 1, connectChurn})
}

func loadRounds(kind string, port int) (sample, error) {
	window := loadWindow()
	before := cpuTime()
	figures, err := runLoad("bench-round-load", kind, strconv.Itoa(port),
		strconv.Itoa(roundClients), strconv.Itoa(int(window.Milliseconds())))
	if err != nil {
		return sample{}, err
	}
	used := cpuTime() - before
	if figures["requests"] == 0 || figures["total"] == 0 {
		return sample{}, errors.New("there was no answer")
	}
	return sample{reports: []report{
		{"requests_per_s", true, figures["requests"] / window.Seconds()},
		{"cpu_us_per_request", false, float64(used.Nanoseconds()) / 1e3 / figures["total"]},
	}}, nil
}

// The calls with a netip.AddrPort are those that allocate nothing.
func answerDatagrams(socket *net.UDPConn) {
	var message [roundBytes]byte
	for {
		n, from, err := socket.ReadFromUDPAddrPort(message[:])
		if err != nil {
			return
		}
		if _, err = socket.WriteToUDPAddrPort(message[:n], from); err != nil {
			return
		}
	}
}

func echoUDP(int) (sample, error) {
	var done sync.WaitGroup
	socket, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return sample{}, err
	}
	for i := 0; i < roundReceivers; i++ {
		done.Add(1)
		go func() {
			defer done.Done()
			answerDatagrams(socket)
		}()
	}
	found, err := loadRounds("udp", socket.LocalAddr().(*net.UDPAddr).Port)
	socket.Close()
	done.Wait()
	return found, err
}

// As the others' sockets it has no keep-alive, which takes four system calls for each connection.
func connectChurn(int) (sample, error) {
	config := net.ListenConfig{KeepAlive: -1}
	listener, err := config.Listen(context.Background(), "tcp4", "127.0.0.1:0")
	if err != nil {
		return sample{}, err
	}
	server := startAccepting(listener, 0, roundBytes, 0)
	defer server.stop()
	return loadRounds("churn", listener.Addr().(*net.TCPAddr).Port)
}
