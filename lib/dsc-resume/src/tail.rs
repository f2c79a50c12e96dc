//! The last bytes that went to a client, kept to be compared with what another backend has there.

/// A ring of bytes of a fixed size; it takes its memory with the first byte.
#[derive(Clone, Debug)]
pub struct Tail {
    size: usize,
    bytes: Vec<u8>,
    /// Where the next byte goes, once `bytes` is full.
    at: usize,
}

impl Tail {
    /// Keeps the last `size` bytes.
    pub fn new(size: usize) -> Tail {
        Tail { size, bytes: Vec::new(), at: 0 }
    }

    /// So many are kept at most.
    pub fn size(&self) -> usize {
        self.size
    }

    /// `bytes` went to the client after all others.
    pub fn push(&mut self, bytes: &[u8]) {
        let mut last = &bytes[bytes.len().saturating_sub(self.size)..];
        let free = self.size - self.bytes.len();
        if free > 0 && !last.is_empty() {
            self.bytes.reserve_exact(free);
            let (now, later) = last.split_at(free.min(last.len()));
            self.bytes.extend_from_slice(now);
            last = later;
        }
        while !last.is_empty() {
            let room = self.size - self.at;
            let (now, later) = last.split_at(room.min(last.len()));
            self.bytes[self.at..self.at + now.len()].copy_from_slice(now);
            self.at = (self.at + now.len()) % self.size;
            last = later;
        }
    }

    /// Are `bytes` the ones that begin `back` bytes before the end? False if they reach further, or too far back.
    pub fn is(&self, back: usize, bytes: &[u8]) -> bool {
        let len = self.bytes.len();
        if back > len || bytes.len() > back {
            return false;
        }
        let start = if len < self.size { 0 } else { self.at };
        let first = len - back;
        (first..).zip(bytes).all(|(n, byte)| self.bytes[(start + n) % len] == *byte)
    }
}

#[cfg(test)]
mod tests {
    use super::Tail;

    /// Every way to cut 40 bytes into pieces of two sizes, every size of the ring, every place compared.
    #[test]
    fn what_is_kept_is_the_end_of_what_was_pushed() {
        let all: Vec<u8> = (0..40).collect();
        for size in 0..=12usize {
            for piece in 1..=15usize {
                let mut tail = Tail::new(size);
                let mut sent = 0;
                for part in all.chunks(piece) {
                    tail.push(part);
                    sent += part.len();
                    let kept = size.min(sent);
                    for back in 0..=kept {
                        let end = &all[sent - back..sent];
                        assert!(tail.is(back, end), "size {size}, {sent} sent, {back} back");
                        assert!(tail.is(back, &end[..back / 2]));
                        if back > 0 {
                            let mut wrong = end.to_vec();
                            wrong[back - 1] ^= 1;
                            assert!(!tail.is(back, &wrong));
                            assert!(!tail.is(back - 1, end));
                        }
                    }
                    assert!(!tail.is(kept + 1, &[]));
                }
            }
        }
    }
}
