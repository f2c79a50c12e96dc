//! Things with numbers that stay theirs: a thing that goes leaves a hole, and nothing else is numbered anew. Whoever asks
//! by a number hears whether there is something; whoever walks through gets the numbers along, and never a hole.

use dsc_wire::{BackendId, CheckId, NodeId, ServiceId, SubnetId, VipId};
use std::fmt;
use std::marker::PhantomData;
use std::ops::{Index, IndexMut};

/// A number of one kind of thing.
pub trait Number: Copy + fmt::Debug {
    /// As an index.
    fn index(self) -> usize;
    /// From an index below every bound of the kind.
    fn at(index: usize) -> Self;
}

macro_rules! number {
    ($($id:ident($of:ty)),*) => { $(
        impl Number for $id {
            fn index(self) -> usize {
                usize::from(self.0)
            }

            fn at(index: usize) -> $id {
                $id(index as $of)
            }
        }
    )* };
}

number!(SubnetId(u8), NodeId(u8), VipId(u16), ServiceId(u16), BackendId(u16), CheckId(u8));

/// Things by their numbers, with holes.
#[derive(Clone, PartialEq, Eq)]
pub struct Numbered<I, T> {
    slots: Vec<Option<T>>,
    of: PhantomData<I>,
}

impl<I: Number, T> Numbered<I, T> {
    /// Each thing at its number; holes are `None`.
    pub(crate) fn from_slots(slots: Vec<Option<T>>) -> Numbered<I, T> {
        Numbered { slots, of: PhantomData }
    }

    pub(crate) fn into_slots(self) -> Vec<Option<T>> {
        self.slots
    }

    /// One more than the highest number that a thing has or had: the length of arrays by number.
    pub fn bound(&self) -> usize {
        self.slots.len()
    }

    /// How many things there are, without the holes.
    pub fn count(&self) -> usize {
        self.slots.iter().flatten().count()
    }

    /// No thing at all?
    pub fn is_empty(&self) -> bool {
        self.count() == 0
    }

    /// The thing of this number, if there is one.
    pub fn get(&self, id: I) -> Option<&T> {
        self.slots.get(id.index())?.as_ref()
    }

    /// Every thing with its number, by rising number.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (I, &T)> + Clone {
        self.slots.iter().enumerate().filter_map(|(at, t)| Some((I::at(at), t.as_ref()?)))
    }

    /// Every thing with its number, to be changed.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (I, &mut T)> {
        self.slots.iter_mut().enumerate().filter_map(|(at, t)| Some((I::at(at), t.as_mut()?)))
    }

    /// Every thing, by rising number.
    pub fn values(&self) -> impl DoubleEndedIterator<Item = &T> + Clone {
        self.slots.iter().flatten()
    }

    /// Every number up to the bound: the thing, or `None` for a hole.
    pub fn slots(&self) -> impl ExactSizeIterator<Item = Option<&T>> {
        self.slots.iter().map(Option::as_ref)
    }

    /// The number of the first thing that is so.
    pub fn find(&self, is: impl Fn(&T) -> bool) -> Option<I> {
        self.iter().find(|(_, thing)| is(thing)).map(|(id, _)| id)
    }
}

impl<I: Number, T> Index<I> for Numbered<I, T> {
    type Output = T;

    /// For numbers that the configuration itself holds; panics at a hole.
    fn index(&self, id: I) -> &T {
        match self.get(id) {
            Some(thing) => thing,
            None => panic!("{id:?} is not in the configuration"),
        }
    }
}

impl<I: Number, T> IndexMut<I> for Numbered<I, T> {
    fn index_mut(&mut self, id: I) -> &mut T {
        match self.slots.get_mut(id.index()).and_then(Option::as_mut) {
            Some(thing) => thing,
            None => panic!("{id:?} is not in the configuration"),
        }
    }
}

/// In their order, without holes.
impl<I: Number, T> FromIterator<T> for Numbered<I, T> {
    fn from_iter<A: IntoIterator<Item = T>>(things: A) -> Numbered<I, T> {
        Numbered::from_slots(things.into_iter().map(Some).collect())
    }
}

impl<I: Number, T: fmt::Debug> fmt::Debug for Numbered<I, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}
