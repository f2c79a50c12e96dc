//! Counters of a pure room: one list of what is counted, each with the name that people see.

/// Makes `Count`, an enum of what is listed, and `Counts`, all of them since start, in the module that uses it.
#[macro_export]
macro_rules! counts {
    ($($(#[$doc:meta])* $count:ident = $name:literal,)*) => {
        /// Something worth counting.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Count { $($(#[$doc])* $count,)* }

        const NAMES: &[&str] = &[$($name,)*];

        /// All counts since start.
        #[derive(Clone, Debug)]
        pub(crate) struct Counts([u64; NAMES.len()]);

        impl Counts {
            pub fn new() -> Counts {
                Counts([0; NAMES.len()])
            }

            pub fn add(&mut self, count: Count, by: u64) {
                self.0[count as usize] += by;
            }

            pub fn list(&self) -> Vec<$crate::local::Counter> {
                let counter = |(name, count): (&&str, u64)| $crate::local::Counter {
                    name: (*name).to_owned(),
                    count,
                };
                NAMES.iter().zip(self.0).map(counter).collect()
            }
        }
    };
}
