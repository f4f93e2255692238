/* SPDX-License-Identifier: MIT */
/* The benchmarks of weft's public interface; weft_bench.c lists them. */
#ifndef WEFT_BENCH_WEFT_H
#define WEFT_BENCH_WEFT_H

#include "harness/bench.h"

/* switch_bench.c */
void bench_switch_yield(struct bench *b);

/* spawn_bench.c */
void bench_spawn_join_empty(struct bench *b);
void bench_spawn_skynet(struct bench *b);

/* scope_bench.c */
void bench_scope_spawn_join(struct bench *b);

/* forkjoin_bench.c; fib's parameter is n, its operations the forks of one fib(n) */
enum { BENCH_FIB_32 = 3524577, BENCH_FIB_40 = 165580140 };
void bench_forkjoin_fib(struct bench *b);
void bench_forkjoin_uts(struct bench *b);
void bench_forkjoin_uts_large(struct bench *b);
void bench_forkjoin_uts_t3(struct bench *b);
void bench_forkjoin_queens(struct bench *b);

/* parallel_bench.c */
void bench_forkjoin_matmul(struct bench *b);
void bench_forkjoin_integrate(struct bench *b);
void bench_forkjoin_cilksort(struct bench *b);
void bench_forkjoin_strassen(struct bench *b);
void bench_forkjoin_knapsack(struct bench *b);
void bench_parallel_nbody(struct bench *b);
void bench_parallel_mandelbrot(struct bench *b);
void bench_parallel_scan(struct bench *b);

/* memory_bench.c; the parameter is the number of fibers */
void bench_memory_parked(struct bench *b);
void bench_memory_million(struct bench *b);

/* timer_bench.c; the parameter is the number of fibers, or of timers */
void bench_timer_sleep_storm(struct bench *b);
void bench_timer_arm_cancel(struct bench *b);
void bench_timer_object_arm_cancel(struct bench *b);
void bench_timer_extend(struct bench *b);
uint64_t weft_bench_timers_armed(void); /* since the runtime was started */

/* hog_bench.c; the parameter is BENCH_HOGS(kind, number of hogs) */
enum { BENCH_HOG_COMPUTE, BENCH_HOG_USLEEP, BENCH_HOG_READ };
#define BENCH_HOGS(kind, count) ((uint64_t)(kind) << 8 | (count))
void bench_hog_echo(struct bench *b);

/* balance_bench.c; the parameter is the number of messages per second */
void bench_balance_echo(struct bench *b);
void bench_balance_echo_light(struct bench *b);

/* echo_bench.c; the parameter is the number of connections, or of messages per second in all */
void bench_echo_tcp(struct bench *b);
void bench_echo_open(struct bench *b);

/* ring_bench.c */
void bench_ring_pass(struct bench *b);
void bench_chameneos_meet(struct bench *b);

/* generator_bench.c */
void bench_generator_next(struct bench *b);
void bench_generator_send(struct bench *b);

/* channel_bench.c; the parameter is BENCH_PARTIES(senders, receivers) */
#define BENCH_PARTIES(senders, receivers) ((uint64_t)(senders) << 8 | (receivers))
void bench_channel_pingpong(struct bench *b);
void bench_timer_timeout(struct bench *b);
void bench_channel_throughput(struct bench *b);
void bench_select_4(struct bench *b);
void bench_select_descriptor(struct bench *b);

/* idle_bench.c; the parameter is the number of fibers */
void bench_idle_parked(struct bench *b);

/* keyed_bench.c */
void bench_keyed_mutex_uncontended(struct bench *b);
void bench_singleflight_alone(struct bench *b);
void bench_rate_limiter_uncontended(struct bench *b);
void bench_broadcast_send_receive(struct bench *b);

/* lock_bench.c */
void bench_mutex_uncontended(struct bench *b);
void bench_mutex_contended(struct bench *b);
void bench_semaphore_uncontended(struct bench *b);
void bench_condvar_pingpong(struct bench *b);

/* barrier_bench.c; the parameter is the number of fibers */
void bench_barrier_cross(struct bench *b);
void bench_condvar_broadcast(struct bench *b);

/* rwlock_bench.c */
void bench_rwlock_alone(struct bench *b);
void bench_rwlock_read_mostly(struct bench *b);

/* file_bench.c; the parameter of reads is the flags that the file is opened with */
void bench_file_read(struct bench *b);
void bench_file_copy(struct bench *b);
void bench_file_copy_by_kernel(struct bench *b);
void bench_stream_send(struct bench *b);

/* operation_bench.c; the parameter is one of the enum in operations/operations.h */
void bench_io_operation(struct bench *b);

/* round_bench.c */
void bench_echo_udp(struct bench *b);
void bench_connect_churn(struct bench *b);

#endif
