//! `rungs keys`: the verbs of [`keys`](crate::keys), on the command line.

use std::{io::Write, process::ExitCode, sync::Arc};

use anyhow::bail;
use rungs::{
    Error,
    store::{KeyStore, postgres::PostgresStore, sqlite::SqliteKeys},
};
use serde_json::json;

use super::{output::Output, serve::runtime, world};
use crate::{
    auth::Pepper,
    cli::{Clearable, CreateKeyArgs, KeysArgs, KeysVerb, TermsArgs, UpdateKeyArgs},
    config::{Config, StoreUrl},
    keys::{Books, BudgetTexts, Issued, KeyView, NewKey, Registry, Rules, Terms},
    stores,
};

/// Works on the configured store, also while a gateway runs on it.
pub(crate) fn run(args: &KeysArgs) -> anyhow::Result<ExitCode> {
    let config = world::load(&args.config)?;
    runtime()?.block_on(async {
        match &config.store.url {
            StoreUrl::Memory => bail!(
                "keys in memory end with this command; set `store.url` to a database such as sqlite:rungs.db"
            ),
            StoreUrl::Sqlite(path) => {
                let file = SqliteKeys::open(&format!("sqlite:{}", path.display())).await?;
                let registry = registry(file.clone(), Pepper::beside(path)?, &config);
                let journal = stores::journal_beside(path);
                work(args, &registry, &Books::File(&file, &journal)).await
            }
            StoreUrl::Postgres(url) => {
                let store = PostgresStore::new(url.expose(), config.store.connections)?;
                let (keys, pepper) = (store.keys(), stores::pepper(&config)?);
                let registry = registry(keys.clone(), pepper, &config);
                work(args, &registry, &Books::Database(&keys)).await
            }
        }
    })
}

fn registry(keys: impl KeyStore + 'static, pepper: Pepper, config: &Config) -> Registry {
    Registry::new(Arc::new(keys), pepper, Rules::of(config))
}

async fn work(args: &KeysArgs, registry: &Registry, books: &Books<'_>) -> anyhow::Result<ExitCode> {
    let mut out = Output::default();
    match &args.verb {
        KeysVerb::Create(wanted) => {
            let issued = registry.create(wanted.to_new_key()?).await?;
            show_once(&mut out, &issued, wanted.json)?;
        }
        KeysVerb::Rotate { id, grace, json } => {
            show_once(&mut out, &registry.rotate(id, grace.0).await?, *json)?;
        }
        KeysVerb::Show { id } => {
            let view = KeyView::of(registry.show(id).await?, books).await?;
            writeln!(out, "{}", serde_json::to_string_pretty(&view)?)?;
        }
        KeysVerb::Update(wanted) => {
            let terms = wanted.to_terms()?;
            let key = registry.patch(&wanted.id, &terms).await;
            let key = key.map_err(|e| of_key(&wanted.id, &e))?;
            let view = KeyView::changed(key, books).await;
            writeln!(out, "{}", serde_json::to_string_pretty(&view)?)?;
        }
        KeysVerb::List { json } => {
            let views = KeyView::all(registry.list().await?, books).await?;
            if *json {
                writeln!(out, "{}", serde_json::to_string_pretty(&views)?)?;
            } else {
                for view in &views {
                    writeln!(out, "{}", view.line())?;
                }
            }
        }
        KeysVerb::Revoke { id } => {
            registry.revoke(id).await.map_err(|e| of_key(id, &e))?;
            writeln!(out, "revoked {id}")?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

impl CreateKeyArgs {
    fn to_new_key(&self) -> anyhow::Result<NewKey> {
        Ok(NewKey {
            tenant: self.tenant.clone(),
            parent: self.parent.clone(),
            role: self.role,
            terms: Terms {
                name: Some(self.name.clone()),
                ..self.terms.to_terms()?
            },
        })
    }
}

impl UpdateKeyArgs {
    fn to_terms(&self) -> anyhow::Result<Terms> {
        let mut terms = Terms {
            name: self.name.clone(),
            ..self.terms.to_terms()?
        };
        for what in &self.clear {
            let contradicts = match what {
                Clearable::Project => terms.project.replace(None).is_some(),
                Clearable::Budget => terms.budgets.replace(BudgetTexts::default()).is_some(),
                Clearable::WarnAt => terms.warn_at.replace(None).is_some(),
                Clearable::Rpm => terms.rpm.replace(None).is_some(),
                Clearable::Tpm => terms.tpm.replace(None).is_some(),
                Clearable::Models => terms.models.replace(Vec::new()).is_some(),
                Clearable::MaxTier => terms.max_tier.replace(None).is_some(),
                Clearable::Routes => terms.routes.replace(Vec::new()).is_some(),
                Clearable::Expires => terms.expires.replace(None).is_some(),
            };
            if contradicts {
                bail!("what --clear names is given as well, or named twice");
            }
        }
        Ok(terms)
    }
}

impl TermsArgs {
    /// What is given.
    fn to_terms(&self) -> anyhow::Result<Terms> {
        fn any<T: Clone>(given: &[T]) -> Option<Vec<T>> {
            (!given.is_empty()).then(|| given.to_vec())
        }
        let budgets = any(&self.budgets).map(BudgetTexts::try_from);
        Ok(Terms {
            name: None,
            project: self.project.clone().map(Some),
            models: any(&self.models),
            max_tier: self.max_tier.map(Some),
            routes: any(&self.routes),
            budgets: budgets.transpose()?,
            tz: self.tz.clone(),
            warn_at: self.warn_at.map(Some),
            on_exhaust: self.on_exhaust,
            on_store_down: self.on_store_down,
            rpm: self.rpm.map(Some),
            tpm: self.tpm.map(Some),
            expires: self.expires.map(Some),
        })
    }
}

fn of_key(id: &str, error: &Error) -> anyhow::Error {
    anyhow::anyhow!("key `{id}`: {error}")
}

fn show_once(out: &mut Output, issued: &Issued, as_json: bool) -> anyhow::Result<()> {
    let (id, credential) = (&issued.key.id, &issued.credential);
    if as_json {
        writeln!(out, "{}", json!({ "id": id, "key": credential }))?;
    } else {
        writeln!(out, "{credential}")?;
        eprintln!("This is key `{id}`. It is not shown again.");
    }
    Ok(())
}
