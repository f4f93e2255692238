// SPDX-License-Identifier: MIT

//go:build !go1.23

package main

import "errors"

func generatorNext(int) (sample, error) {
	return sample{}, errors.New("iter.Pull needs Go 1.23")
}
