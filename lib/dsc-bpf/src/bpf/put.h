/* Flows that peers told of, brought into the table: many at once, because a call into the kernel costs more than what is to
   be done for one of them. What is known here and what was told add up where they lie, so that nothing is lost that a
   packet marks in the same moment. */
#ifndef DSC_PUT_H
#define DSC_PUT_H

#include "flow.h"

static __always_inline int same_end(const struct flow *one, const struct flow *other)
{
	return same16(one->address, other->address) && one->port == other->port;
}

/* By address, then by port; both ends are of one family. */
static __always_inline int is_lower(const struct flow *one, const struct flow *other)
{
	const __u64 *a = (const void *)one->address, *b = (const void *)other->address;

	if (a[0] != b[0])
		return bpf_be64_to_cpu(a[0]) < bpf_be64_to_cpu(b[0]);
	if (a[1] != b[1])
		return bpf_be64_to_cpu(a[1]) < bpf_be64_to_cpu(b[1]);
	return bpf_ntohs(one->port) < bpf_ntohs(other->port);
}

static __always_inline __u8 state_of(__u32 request, __u32 reply)
{
	__u32 either = request | reply;

	if (either & MARK_RESET || request & reply & MARK_FIN)
		return STATE_CLOSED;
	if (request & MARK_FIN)
		return STATE_CLIENT_CLOSED;
	if (reply & MARK_FIN)
		return STATE_SERVER_CLOSED;
	return either & MARK_OPEN ? STATE_OPEN : STATE_OPENING;
}

/* What the entry has to be is put into it; `there` is what it is, if it is of the same flow. False if there is no room. */
static __always_inline int join(const struct flow_key *key, struct flow *there, struct flow *told)
{
	if (there && same_end(there, told) && there->backend == told->backend && there->way == told->way &&
	    there->subnet == told->subnet && there->vip == told->vip) {
		if (told->marks & ~there->marks)
			mark(there, told->marks);
		if (there->seen < told->seen)
			there->seen = told->seen;
		return 1;
	}
	if (there)
		told->marks |= there->marks;
	return !bpf_map_update_elem(&flows, key, told, BPF_ANY);
}

static __always_inline struct flow *find(const struct flow_key *key, __u8 way)
{
	struct flow *flow = bpf_map_lookup_elem(&flows, key);

	return flow && flow->way == way ? flow : 0;
}

/* Another flow has the reply's key. To the backend they are one connection. Does it give way? */
static __always_inline int gives_way(const struct put *put, struct flow *there, struct flow_key *other)
{
	struct flow *request;

	/* Whoever made this one knew that the other had ended; news of one that was made before may come late. */
	if (put->state != STATE_OPENING)
		return 0;
	other_key(&put->back, there, other);
	/* One that begins inside may have been made by two nodes at once, each with a port of its own: all keep the same. */
	if (began_inside(&put->request)) {
		request = bpf_map_lookup_elem(&flows, other);
		if (request && state_of(request->marks, there->marks) == STATE_OPENING && is_lower(there, &put->reply))
			return 0;
	}
	bpf_map_delete_elem(&flows, other);
	return 1;
}

/* What became of it: PUT_*. */
static __always_inline __u8 became_of(struct put *put)
{
	struct flow *old, *there, *other;
	struct flow_key key = {};

	old = find(&put->key, WAY_REQUEST);
	there = find(&put->back, WAY_REPLY);
	if (old) {
		int same_backend = same_end(old, &put->request), anew;
		__u8 known;

		other_key(&put->key, old, &key);
		other = same_backend ? there : bpf_map_lookup_elem(&flows, &key);
		known = state_of(old->marks, other ? other->marks : 0);
		anew = put->state == STATE_OPENING && known == STATE_CLOSED;
		/* The later state holds; of one state the lower backend does, so that nodes which chose differently, each on its
		   side of a cut, agree without asking. */
		if (!same_backend && !anew && put->state <= known &&
		    !(put->state == known && is_lower(&put->request, old)))
			return PUT_KNOWN;
		if (anew || !same_backend) {
			bpf_map_delete_elem(&flows, &key);
			if (same_backend)
				there = 0;
		}
	}
	if (there && !same_end(there, &put->reply)) {
		if (!gives_way(put, there, &key))
			return PUT_CLASH;
		there = 0;
	}
	/* Without its reply it is nobody's any more. */
	if (!there)
		old = 0;
	if (!join(&put->back, there, &put->reply))
		return PUT_FULL;
	if (!join(&put->key, old, &put->request)) {
		bpf_map_delete_elem(&flows, &put->back);
		return PUT_FULL;
	}
	return old ? PUT_KNOWN : PUT_NEW;
}

/* Brings in one of `puts`; 0 if none is asked for there. No other function's checks depend on it, so the verifier goes through
   it once and not for each place. */
__noinline int put_one(__u32 index)
{
	struct put *put = bpf_map_lookup_elem(&puts, &index);

	if (!put || put->became != PUT_ASKED)
		return 0;
	put->became = became_of(put);
	return 1;
}

#endif
