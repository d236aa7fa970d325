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
    roots: Cache<Vec<PathBuf>, Roots>,
    shelf: OnceCell<Shelf>,
    tables: OnceCell<Tables>,
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
        // Those that are open do not know.
        self.roots.invalidate_all();
    }

    /// The [folders] that `principal` may see, opened.
    ///
    /// # Errors
    /// [`ErrorKind::Forbidden`] if there is none for them.
    pub(crate) fn roots(&self, principal: &Principal) -> Result<Roots, Error> {
        let paths = folders(&self.tools, principal)?;
        if let Some(roots) = self.roots.get(paths) {
            return Ok(roots);
        }
        let reach = match self.tools.changes_files() {
            true => Reach::Change,
            false => Reach::Read,
        };
        let roots = Roots::open(paths, (*self.protected()).clone(), reach)?;
        self.roots.insert(paths.to_vec(), roots.clone());
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
