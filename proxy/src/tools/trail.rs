//! What a conversation has read, and what that means for the calls that come after.

use std::sync::{Arc, OnceLock};

use rungs::{Error, ErrorKind};

use super::{Origin, Spec};

/// Whether a conversation has read words that may have been meant for the model that reads them. All calls of it share this.
#[derive(Debug, Clone, Default)]
pub(crate) struct Trail(Arc<OnceLock<String>>);

impl Trail {
    /// Notes that the tool is called.
    pub(super) fn follow(&self, spec: &Spec) {
        if spec.origin == Origin::Found {
            self.0.get_or_init(|| spec.name.to_string());
        }
    }

    /// What a person must agree to before the tool is called.
    pub(super) fn doubt(&self, spec: &Spec) -> Option<Doubt> {
        let read = self
            .0
            .get()
            .filter(|_| spec.effect.is_more_than_reading())?;
        let (name, verb) = (&spec.name, spec.effect.verb());
        Some(Doubt(format!(
            "`{name}` {verb}, and this conversation has read what others wrote (with `{read}`), which may have asked for it"
        )))
    }
}

/// What a person was asked of a call.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Consent {
    /// Nothing: the caller has nobody to ask.
    #[default]
    Nobody,
    /// They agreed to it.
    Given,
    /// They did not.
    Refused,
}

/// Why a call wants a person's consent: a whole sentence, without its end.
#[derive(Debug)]
pub(crate) struct Doubt(String);

impl Doubt {
    /// For the person.
    pub(crate) fn why(&self) -> &str {
        &self.0
    }

    /// The end of a call without it.
    pub(super) fn without(self, consent: Consent) -> Error {
        let Self(why) = self;
        let rest = match consent {
            Consent::Refused => "a person was asked, and did not agree",
            Consent::Nobody | Consent::Given => {
                "a person must agree, and this client can ask none; `untrusted = \"allow\"` in [tools] of the configuration does without"
            }
        };
        Error::new(ErrorKind::Forbidden, format!("{why}: {rest}"))
    }
}
