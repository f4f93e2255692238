/* SPDX-License-Identifier: MIT */
/* Opening files that must lie below a folder. */
#ifndef HTTP_FILE_H
#define HTTP_FILE_H

#include <stdint.h>

/*
 * Opens the regular file that a percent-encoded name leads to below `root_fd`, and finds its size.
 * `name` is decoded in place, and the byte behind its `length` bytes is overwritten.
 *
 * Returns a descriptor, or a negative errno: -ENOENT also for whatever lies outside of the folder
 * and for what is not a regular file, and -EINVAL for a name that cannot be decoded.
 */
int file_open(int root_fd, char *name, uint32_t length, uint64_t *size);

/* The status that tells a client of such an error. */
uint16_t file_error_status(int error);

#endif
