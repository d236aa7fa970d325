//! `rungs keys`: make, list and take back API keys.

use std::{process::ExitCode, time::SystemTime};

use anyhow::{Context, bail};
use rungs::{
    model::OnExhaust,
    store::{KeyRecord, KeyStore, OnStoreDown, Role, sqlite::SqliteKeys},
};
use serde_json::{Value, json};

use super::{serve::runtime, world};
use crate::{
    auth::{Keyring, Pepper},
    cli::{CreateKeyArgs, KeysArgs, KeysVerb},
    config::StoreUrl,
};

/// Works on the configured store, also while a gateway runs on it.
pub(crate) fn run(args: &KeysArgs) -> anyhow::Result<ExitCode> {
    let config = world::load(&args.config)?;
    let StoreUrl::Sqlite(path) = &config.store.url else {
        bail!(
            "keys in memory end with this command; set `store.url` to a database such as sqlite:rungs.db"
        );
    };
    runtime()?.block_on(async {
        let store = SqliteKeys::open(&format!("sqlite:{}", path.display())).await?;
        match &args.verb {
            KeysVerb::Create(wanted) => create(&store, &Pepper::beside(path)?, wanted).await,
            KeysVerb::List { json } => list(&store, *json).await,
            KeysVerb::Revoke { id } => revoke(&store, id).await,
        }
    })
}

async fn create(
    store: &dyn KeyStore,
    pepper: &Pepper,
    wanted: &CreateKeyArgs,
) -> anyhow::Result<ExitCode> {
    let key = Keyring::make(pepper)?;
    let record = KeyRecord {
        id: key.id.clone(),
        name: wanted.name.clone(),
        role: Role::User,
        hash: key.hash,
        previous: None,
        parent: None,
        project: None,
        routes: Vec::new(),
        warn_at: None,
        on_exhaust: OnExhaust::default(),
        on_store_down: OnStoreDown::default(),
        expires: None,
        version: 0,
        tenant: wanted.tenant.clone(),
        models: wanted.models.clone(),
        max_tier: wanted.max_tier,
        budgets: wanted.budgets.clone(),
        rpm: wanted.rpm,
        tpm: wanted.tpm,
        created: SystemTime::now(),
        revoked: None,
    };
    store
        .insert(&record)
        .await
        .context("cannot store the key")?;
    if wanted.json {
        println!("{}", json!({ "id": key.id, "key": key.credential }));
    } else {
        println!("{}", key.credential);
        eprintln!("This is key `{}`. It is not shown again.", key.id);
    }
    Ok(ExitCode::SUCCESS)
}

async fn list(store: &dyn KeyStore, as_json: bool) -> anyhow::Result<ExitCode> {
    let keys = store.list().await?;
    if as_json {
        let keys: Vec<Value> = keys.iter().map(key_value).collect();
        println!("{:#}", Value::Array(keys));
        return Ok(ExitCode::SUCCESS);
    }
    for key in &keys {
        let budgets: Vec<_> = key.budgets.iter().map(ToString::to_string).collect();
        let budget = match budgets.is_empty() {
            true => "no budget".to_owned(),
            false => budgets.join(" "),
        };
        let state = if key.revoked.is_some() {
            "  revoked"
        } else {
            ""
        };
        println!("{}  {}  {}  {budget}{state}", key.id, key.name, key.tenant);
    }
    Ok(ExitCode::SUCCESS)
}

fn key_value(key: &KeyRecord) -> Value {
    json!({
        "id": key.id,
        "name": key.name,
        "tenant": key.tenant,
        "models": key.models,
        "max_tier": key.max_tier,
        "budgets": key.budgets,
        "rpm": key.rpm,
        "tpm": key.tpm,
        "revoked": key.revoked.is_some(),
    })
}

async fn revoke(store: &dyn KeyStore, id: &str) -> anyhow::Result<ExitCode> {
    if !store.revoke(id).await? {
        bail!("there is no key `{id}` to take back");
    }
    println!("revoked {id}");
    Ok(ExitCode::SUCCESS)
}
