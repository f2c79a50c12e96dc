/* Services and their backends: which service a packet is for, which backend a new flow gets. All nodes choose alike. */
#ifndef DSC_SERVICE_H
#define DSC_SERVICE_H

#include "flow.h"

/* Finds the nat service of the frame's destination, if there is one. */
static __always_inline int has_service(struct frame *f)
{
	struct service_key key = { .vip = f->vip.index, .protocol = f->proto };
	const struct service *service;

	key.port = f->is6 ? f->tuple.ipv6.dport : f->tuple.ipv4.dport;
	service = bpf_map_lookup_elem(&services, &key);
	if (!service || service->kind != SERVICE_NAT)
		return 0;
	f->service = service->index;
	return 1;
}

static __always_inline __u64 stir(__u64 hash, __u64 word)
{
	hash = (hash ^ word) * 0x9E3779B97F4A7C15ull;
	return hash ^ (hash >> 32);
}

/* Of both ends, the same on every node (of one byte order) and in every build: a flow whose entry was lost finds its
   backend again. */
static __always_inline __u32 hash_of(const struct flow_key *key)
{
	const __u64 *words = (const __u64 *)key;
	__u64 hash = 0;

#pragma unroll
	for (int i = 0; i < sizeof(*key) / 8; i++)
		hash = stir(hash, words[i]);
	return hash >> 16;
}

static __always_inline const struct backend *backend_at(__u32 index)
{
	return bpf_map_lookup_elem(&backends, &index);
}

static __always_inline int is_disabled(const struct flow *flow)
{
	const struct backend *backend = backend_at(flow->backend);

	return backend && backend->state == BACKEND_DISABLED;
}

/* The backend of slot `hash`; MAGLEV_EMPTY if the service has none. */
static __always_inline __u32 slot_of(__u32 index, __u32 hash)
{
	const struct slots *slots = bpf_map_lookup_elem(&maglev, &index);
	__u32 slot = hash % MAGLEV_SIZE;

	KEEP(slot);
	return slots ? slots->backend[slot & (MAGLEV_ROOM - 1)] : MAGLEV_EMPTY;
}

#endif
