use sha2::{Digest, Sha256};

/// Fields longer than this, in bytes, are hashed by BLAKE3 first. Processors have instructions for SHA-256, which makes it the
/// quicker one by far for what is short; BLAKE3 uses wide registers for what is long.
const LONG: usize = 16 * 1024;

/// A hash over what a name stands for. Each field counts with its length, so no two lists of fields have the same hash.
pub(crate) struct FieldHash(Sha256);

impl FieldHash {
    /// The hash of a kind of name, which sets it apart from all other kinds.
    pub(crate) fn of(kind: &str) -> Self {
        let mut hash = Self(Sha256::new());
        hash.field(kind);
        hash
    }

    pub(crate) fn field(&mut self, field: impl AsRef<[u8]>) {
        let field = field.as_ref();
        self.0.update((field.len() as u64).to_le_bytes());
        match field.len() > LONG {
            true => self.0.update(blake3::hash(field).as_bytes()),
            false => self.0.update(field),
        }
    }

    pub(crate) fn finish(self) -> [u8; 32] {
        self.0.finalize().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(fields: &[&[u8]]) -> [u8; 32] {
        let mut hash = FieldHash::of("test 1");
        for field in fields {
            hash.field(field);
        }
        hash.finish()
    }

    #[test]
    fn borders_and_kinds_count() {
        assert_eq!(hash(&[b"a", b"bc"]), hash(&[b"a", b"bc"]));
        assert_ne!(hash(&[b"a", b"bc"]), hash(&[b"ab", b"c"]));
        assert_ne!(hash(&[b"a"]), hash(&[b"a", b""]));
        assert_ne!(hash(&[]), FieldHash::of("test 2").finish());
    }

    #[test]
    fn every_byte_of_a_long_field_counts() {
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
