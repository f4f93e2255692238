// SPDX-License-Identifier: MIT

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

func loadWindow() time.Duration {
	if isQuick {
		return 500 * time.Millisecond
	}
	return 1000 * time.Millisecond
}

// Runs a load generator, which lies beside this program.  Returns its figures by name.
func runLoad(program string, arguments ...string) (map[string]float64, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	command := exec.Command(filepath.Join(filepath.Dir(self), program), arguments...)
	command.Stderr = os.Stderr
	output, err := command.Output()
	if err != nil {
		return nil, err
	}
	words := strings.Fields(string(output))
	figures := map[string]float64{}
	for i := 0; i+1 < len(words); i += 2 {
		if figures[words[i]], err = strconv.ParseFloat(words[i+1], 64); err != nil {
			return nil, err
		}
	}
	return figures, nil
}
