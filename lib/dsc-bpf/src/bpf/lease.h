/* What this node may answer for now. The only drawer that reads what dsc-ringd writes. */
#ifndef DSC_LEASE_H
#define DSC_LEASE_H

#include "maps.h"

static __always_inline int lease_holds_at(__u64 now)
{
	__u32 zero = 0;
	volatile __u64 *end = bpf_map_lookup_elem(&lease, &zero);

	return end && now < *end;
}

/* Rule: now < end, by the clock that counts suspended time too. */
static __always_inline int lease_holds(void)
{
	return lease_holds_at(bpf_ktime_get_boot_ns());
}

/* The entry is read by one load, so that it is either the old or the new one. */
static __always_inline struct host host_at(__u32 index)
{
	volatile __u64 *word = bpf_map_lookup_elem(&hosts, &index);
	union {
		__u64 word;
		struct host host;
	} entry = { .word = 0 };

	if (word)
		entry.word = *word;
	return entry.host;
}

static __always_inline struct host host_of(const struct vip *vip)
{
	return host_at(vip->index);
}

/* Why a question for the MAC of `vip` that came in on `nic` is not answered; `yes` if it is. */
static __always_inline enum verdict may_answer(const struct vip *vip, const struct nic *nic, enum verdict yes)
{
	if (vip->subnet != nic->subnet)
		return V_silent_elsewhere;
	if (host_of(vip).state != HOST_ON)
		return V_silent_off;
	return lease_holds() ? yes : V_silent_lease;
}

/* May this node name itself as the owner of `vip`? */
static __always_inline int hosted(const struct vip *vip)
{
	return host_of(vip).state == HOST_ON && lease_holds();
}

static __always_inline int is_member(const __u8 *mac)
{
	struct mac key = {};

	__builtin_memcpy(key.bytes, mac, 6);
	return bpf_map_lookup_elem(&members, &key) != 0;
}

/* Somebody says that `vip` is at `mac`. */
static __always_inline enum verdict claimed(const struct vip *vip, const __u8 *mac)
{
	struct claim *claim;

	if (is_member(mac))
		return V_claim_member;
	claim = bpf_ringbuf_reserve(&claims, sizeof(*claim), 0);
	if (!claim)
		return V_claim_conflict_lost;
	claim->vip = vip->index;
	__builtin_memcpy(claim->mac, mac, 6);
	bpf_ringbuf_submit(claim, 0);
	return V_claim_conflict;
}

#endif
