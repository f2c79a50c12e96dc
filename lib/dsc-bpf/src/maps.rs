//! Maps of the loaded programs, taken and filled; and pinned ones, looked at before they are used.

use crate::layout::MAPS;
use crate::{Error, call};
use aya::maps::{HashMap, Map, MapData};
use aya::{Ebpf, Pod};
use std::collections::BTreeMap;
use std::io;
use std::os::fd::AsFd;
use std::path::Path;

pub(crate) fn fill(map: &'static str, source: aya::maps::MapError) -> Error {
    Error::Fill { map, source: Box::new(source) }
}

pub(crate) fn taken<T: TryFrom<Map, Error = aya::maps::MapError>>(
    ebpf: &mut Ebpf,
    name: &'static str,
) -> Result<T, Error> {
    let map = ebpf.take_map(name).expect("the object has this map");
    T::try_from(map).map_err(|e| fill(name, e))
}

/// Puts `entries` into `map`.
pub(crate) fn insert<K: Pod + Ord, V: Pod>(
    name: &'static str,
    map: &mut HashMap<MapData, K, V>,
    entries: &BTreeMap<K, V>,
) -> Result<(), Error> {
    for (key, value) in entries {
        map.insert(key, value, 0).map_err(|e| fill(name, e))?;
    }
    Ok(())
}

/// Takes everything but `entries` out of `map`.
pub(crate) fn retain<K: Pod + Ord, V: Pod>(
    name: &'static str,
    map: &mut HashMap<MapData, K, V>,
    entries: &BTreeMap<K, V>,
) -> Result<(), Error> {
    let old: Vec<K> = map.keys().filter_map(Result::ok).collect();
    for key in old.iter().filter(|key| !entries.contains_key(key)) {
        map.remove(key).map_err(|e| fill(name, e))?;
    }
    Ok(())
}

/// A map of another layout under our directory would be read as nonsense.
pub(crate) fn check_shapes(pins: &Path) -> Result<(), Error> {
    for (name, key, value) in MAPS {
        let path = pins.join(name);
        let map = match call::pinned(&path) {
            Ok(map) => map,
            Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
            Err(source) => return Err(Error::Map { path, doing: "open", source }),
        };
        let shape = call::shape(map.as_fd());
        let shape =
            shape.map_err(|source| Error::Map { path: path.clone(), doing: "examine", source })?;
        if (shape.key_size as usize, shape.value_size as usize) != (key, value) {
            return Err(Error::Layout { path });
        }
    }
    Ok(())
}
