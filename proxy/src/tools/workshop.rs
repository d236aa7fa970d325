//! What tools of files, programs and data work with. Opened when a tool first needs it, so a gateway without tools has none of it.

use std::{path::PathBuf, sync::Arc};

use arc_swap::ArcSwap;
use moka::{policy::EvictionPolicy, sync::Cache};
use rungs::{Error, ErrorKind};
use tokio::sync::OnceCell;

use super::{db::Tables, redis::Shelf};
use crate::{
    auth::Principal,
    config::{Config, StoreUrl, Tools},
    sandbox::{Protected, Reach, Roots},
};

/// How many different folders callers work in before the one that was used longest ago is closed.
const CALLERS: u64 = 64;

/// The folders that `principal` may see: those of the configuration. Where it names none, who has no key, and so is on this computer,
/// is in the folder that they work in.
///
/// # Errors
/// [`ErrorKind::Forbidden`] if there is none for them, with the line of configuration that gives one.
fn folders<'a>(tools: &'a Tools, principal: &'a Principal) -> Result<&'a [PathBuf], Error> {
    match (&tools.roots, &principal.key) {
        (Some(roots), _) => Ok(roots),
        (None, None) => Ok(std::slice::from_ref(&principal.folder)),
        (None, Some(_)) => Err(Error::new(
            ErrorKind::Forbidden,
            "no folder is open to keys; `roots = [\"...\"]` in [tools] of the configuration opens some",
        )),
    }
}

/// The folders, programs and stores of the configuration that the process has started with.
pub(crate) struct Workshop {
    tools: Tools,
    protected: ArcSwap<Protected>,
    /// By their paths: one entry where the configuration names them, otherwise one for each folder that a caller works in.
    roots: Cache<Vec<PathBuf>, Opened>,
    shelf: OnceCell<Shelf>,
    tables: OnceCell<Tables>,
}

/// Folders that were opened when these were the gateway's own files.
#[derive(Clone)]
struct Opened {
    protected: Arc<Protected>,
    roots: Roots,
}

impl Workshop {
    /// What `config` says; opens nothing.
    pub(crate) fn new(config: &Config) -> Arc<Self> {
        let mut own: Vec<PathBuf> = config.files.clone();
        own.push(config.store.folder.clone());
        own.push(config.tools.data.clone());
        if let StoreUrl::Sqlite(path) = &config.store.url {
            own.push(path.clone());
        }
        Arc::new(Self {
            tools: config.tools.clone(),
            protected: ArcSwap::from_pointee(Protected::new(own)),
            roots: Cache::builder()
                .max_capacity(CALLERS)
                .eviction_policy(EvictionPolicy::lru())
                .build(),
            shelf: OnceCell::new(),
            tables: OnceCell::new(),
        })
    }

    /// What the configuration says of tools.
    pub(super) fn tools(&self) -> &Tools {
        &self.tools
    }

    /// The gateway's own files.
    pub(crate) fn protected(&self) -> Arc<Protected> {
        self.protected.load_full()
    }

    /// These `files` are the gateway's own from now on, too.
    pub(crate) fn protect(&self, files: &[PathBuf]) {
        let before = self.protected();
        let all = before.names().iter().chain(files).cloned();
        self.protected.store(Arc::new(Protected::new(all)));
    }

    /// The [folders] that `principal` may see, opened.
    ///
    /// # Errors
    /// [`ErrorKind::Forbidden`] if there is none for them.
    pub(crate) fn roots(&self, principal: &Principal) -> Result<Roots, Error> {
        let paths = folders(&self.tools, principal)?;
        let protected = self.protected();
        // Those that were opened before others became the gateway's own do not know of them.
        let is_current = |opened: &Opened| Arc::ptr_eq(&opened.protected, &protected);
        if let Some(opened) = self.roots.get(paths).filter(is_current) {
            return Ok(opened.roots);
        }
        let reach = match self.tools.changes_files() {
            true => Reach::Change,
            false => Reach::Read,
        };
        let roots = Roots::open(paths, (*protected).clone(), reach)?;
        let opened = Opened {
            protected,
            roots: roots.clone(),
        };
        self.roots.insert(paths.to_vec(), opened);
        Ok(roots)
    }

    /// Where `redis_*` keep values.
    pub(super) async fn shelf(&self) -> Result<&Shelf, Error> {
        let open = || Shelf::open(self.tools.redis.as_ref());
        self.shelf.get_or_try_init(open).await
    }

    /// Where `db_*` keep rows.
    pub(super) async fn tables(&self) -> Result<&Tables, Error> {
        let open = || Tables::open(&self.tools);
        self.tables.get_or_try_init(open).await
    }
}

#[cfg(test)]
mod tests {
    use rungs::ErrorKind;

    use super::*;
    use crate::{
        config::Source,
        sandbox::{Folder, Place},
    };

    #[tokio::test]
    async fn folders_opened_before_a_file_became_the_gateways_own_are_opened_anew() {
        let folder = Folder::new();
        let file = folder.write("secrets.toml", "own");
        let text = format!(
            "[store]\nurl = \"memory:\"\n[tools]\nroots = [{:?}]\n",
            folder.path()
        );
        let workshop = Workshop::new(&Config::alone(&Source::new("rungs.toml", text)).unwrap());
        let principal = Principal::local();
        let paths = vec![folder.path().to_owned()];
        let place = || Place::parse("secrets.toml").unwrap();
        let before = workshop.roots(&principal).unwrap();
        assert!(before.read(None, place(), 1, None).await.is_ok());
        let opened = workshop.roots.get(&paths).unwrap();
        workshop.protect(&[file]);
        // A call that began before comes to its end.
        workshop.roots.insert(paths, opened);
        let after = workshop.roots(&principal).unwrap();
        let error = after.read(None, place(), 1, None).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Forbidden);
    }
}
