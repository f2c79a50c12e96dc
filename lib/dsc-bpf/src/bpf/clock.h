/* A clock for what needs no better one than the ages of flows: read anew once in every tick of the kernel, which costs a packet
   less than reading the real one. Whoever answers for a VIP or makes a flow judges the lease by the real one. */
#ifndef DSC_CLOCK_H
#define DSC_CLOCK_H

#include "maps.h"

struct reading {
	__u64 tick; /* of the kernel */
	__u64 now;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct reading);
} readings SEC(".maps");

/* Tells one moment from the next; never a time. */
static __always_inline __u64 this_tick(void)
{
	return bpf_jiffies64();
}

static __always_inline __u64 about_now(void)
{
	__u32 zero = 0;
	struct reading *reading = bpf_map_lookup_elem(&readings, &zero);
	__u64 tick = this_tick();

	if (!reading)
		return bpf_ktime_get_boot_ns();
	if (reading->tick != tick) {
		reading->tick = tick;
		reading->now = bpf_ktime_get_boot_ns();
	}
	return reading->now;
}

#endif
