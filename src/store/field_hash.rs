use sha2::{Digest, Sha256};

use crate::model::Quality;

/// Fields longer than this, in bytes, are hashed by BLAKE3 first: on wide registers it is the quicker one for what is long.
const LONG: usize = 16 * 1024;

/// A hash over what a name stands for. Each field counts with its length, so no two lists of fields have the same hash.
pub(crate) struct FieldHash(Hasher);

enum Hasher {
    Blake3(Box<blake3::Hasher>),
    Sha256(Sha256),
}

impl FieldHash {
    /// The hash of a kind of name, which sets it apart from all other kinds. It is the same on every machine.
    pub(crate) fn lasting(kind: &str) -> Self {
        Self::begin(Hasher::Blake3(Box::default()), kind)
    }

    /// The same, by whatever is quickest here: SHA-256 where the processor has instructions for it, which takes a third of the time
    /// for a kilobyte. Machines of different kinds have different names for the same.
    pub(crate) fn quick(kind: &str) -> Self {
        match has_sha256() {
            true => Self::begin(Hasher::Sha256(Sha256::new()), kind),
            false => Self::lasting(kind),
        }
    }

    fn begin(hasher: Hasher, kind: &str) -> Self {
        let mut hash = Self(hasher);
        hash.field(kind);
        hash
    }

    pub(crate) fn field(&mut self, field: impl AsRef<[u8]>) {
        let field = field.as_ref();
        let length = (field.len() as u64).to_le_bytes();
        match &mut self.0 {
            Hasher::Blake3(hasher) => drop(hasher.update(&length).update(field)),
            Hasher::Sha256(hasher) => {
                hasher.update(length);
                match field.len() > LONG {
                    true => hasher.update(blake3::hash(field).as_bytes()),
                    false => hasher.update(field),
                }
            }
        }
    }

    pub(crate) fn quality(&mut self, quality: Quality) {
        self.field([match quality {
            Quality::Normal => 0,
            Quality::High => 1,
            Quality::Critical => 2,
        }]);
    }

    /// A field for each name and each value.
    pub(crate) fn pairs<'a>(&mut self, pairs: impl Iterator<Item = (&'a str, &'a str)>) {
        for (name, value) in pairs {
            self.field(name);
            self.field(value);
        }
    }

    pub(crate) fn finish(self) -> [u8; 32] {
        match self.0 {
            Hasher::Blake3(hasher) => *hasher.finalize().as_bytes(),
            Hasher::Sha256(hasher) => hasher.finalize().into(),
        }
    }
}

fn has_sha256() -> bool {
    #[cfg(target_arch = "x86_64")]
    let has = std::arch::is_x86_feature_detected!("sha");
    #[cfg(target_arch = "aarch64")]
    let has = std::arch::is_aarch64_feature_detected!("sha2");
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    let has = false;
    has
}

#[cfg(test)]
mod tests {
    use super::*;

    type Begin = fn(&str) -> FieldHash;

    const BOTH: [Begin; 2] = [FieldHash::lasting, |kind| {
        FieldHash::begin(Hasher::Sha256(Sha256::new()), kind)
    }];

    fn hash(begin: Begin, fields: &[&[u8]]) -> [u8; 32] {
        let mut hash = begin("test 1");
        for field in fields {
            hash.field(field);
        }
        hash.finish()
    }

    #[test]
    fn borders_and_kinds_count() {
        for begin in BOTH {
            let hash = |fields: &[&[u8]]| hash(begin, fields);
            assert_eq!(hash(&[b"a", b"bc"]), hash(&[b"a", b"bc"]));
            assert_ne!(hash(&[b"a", b"bc"]), hash(&[b"ab", b"c"]));
            assert_ne!(hash(&[b"a"]), hash(&[b"a", b""]));
            assert_ne!(hash(&[]), begin("test 2").finish());
        }
    }

    #[test]
    fn every_byte_of_a_long_field_counts() {
        for begin in BOTH {
            let hash = |fields: &[&[u8]]| hash(begin, fields);
            let long = vec![0; LONG + 1];
            let of_long = hash(&[&long]);
            for at in [0, LONG / 2, LONG] {
                let mut other = long.clone();
                other[at] = 1;
                assert_ne!(of_long, hash(&[&other]), "byte {at}");
            }
            assert_ne!(of_long, hash(&[&long[1..]]));
            assert_ne!(of_long, hash(&[blake3::hash(&long).as_bytes()]));
        }
    }
}
