use smallvec::SmallVec;

use super::scan::{self, Fault};

/// The members of an object that is read and not kept, names and values as they are written. One that is `null` is not there.
///
/// Quicker than a struct of the members that are wanted where most answers hold few of them.
pub(crate) struct Members<'a>(SmallVec<[(&'a str, &'a str); 12]>);

impl<'a> Members<'a> {
    /// Reads one object.
    ///
    /// # Errors
    /// [`Fault::Grammar`] for anything else, and if a member occurs twice.
    pub(crate) fn of(json: &'a str) -> Result<Self, Fault> {
        let mut members = SmallVec::new();
        scan::members(json, |name, value| {
            let value = value.value()?;
            if members.iter().any(|(other, _)| *other == name) {
                return Err(Fault::Grammar);
            }
            members.push((name, value));
            Ok(())
        })?;
        Ok(Self(members))
    }

    /// The JSON of a member.
    pub(crate) fn get(&self, name: &str) -> Option<&'a str> {
        let found = self.0.iter().find(|(other, _)| *other == name);
        found.map(|(_, value)| *value).filter(|v| *v != "null")
    }

    /// The members of a member that is an object.
    pub(crate) fn object(&self, name: &str) -> Option<Self> {
        Self::of(self.get(name)?).ok()
    }
}
