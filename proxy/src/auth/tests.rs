use std::sync::Arc;

use rungs::{
    ErrorKind,
    store::{KeyRecord, KeyStore, memory::MemoryKeys},
};

use super::{keyring::NewKey, *};

async fn ring() -> (Keyring, Arc<MemoryKeys>, NewKey) {
    let pepper = Pepper::random().unwrap();
    let store = Arc::new(MemoryKeys::new());
    let key = Keyring::make(&pepper).unwrap();
    let record = KeyRecord {
        id: key.id.clone(),
        hash: key.hash,
        previous: None,
        expires: None,
        ..rungs::testing::store_contract::key(&key.id, 0)
    };
    store.insert(&record).await.unwrap();
    (Keyring::new(pepper, store.clone(), &[]), store, key)
}

#[tokio::test]
async fn a_key_is_known_by_the_whole_of_it() {
    let (ring, _, key) = ring().await;
    assert!(ring.known(&key.credential).is_none());
    let principal = ring.look_up(&key.credential).await.unwrap();
    assert_eq!(principal.key.as_deref(), Some(&*key.id));
    assert!(ring.known(&key.credential).is_none());
    ring.remember(&key.credential, &principal);
    assert!(ring.known(&key.credential).is_some());
    // T2: an equal beginning is not an equal key.
    let mut other = key.credential.clone();
    other.pop();
    other.push(if key.credential.ends_with('0') {
        '1'
    } else {
        '0'
    });
    for wrong in [
        &*other,
        "",
        "sk-rungs-",
        &key.id,
        "sk-rungs-x'; DROP TABLE keys; -- -y",
    ] {
        assert_eq!(
            ring.look_up(wrong).await.unwrap_err().kind(),
            ErrorKind::Unauthorized
        );
    }
}

#[tokio::test]
async fn a_revoked_key_is_not_found_again() {
    let (ring, store, key) = ring().await;
    assert!(store.revoke(&key.id).await.unwrap());
    assert!(ring.look_up(&key.credential).await.is_err());
}

#[test]
fn the_pepper_beside_a_database_stays_the_same_and_private() {
    let folder = std::env::temp_dir().join(format!("rungs-pepper-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let database = folder.join("x.db");
    let hash = Pepper::beside(&database).unwrap().hash("k");
    assert_eq!(Pepper::beside(&database).unwrap().hash("k"), hash);
    assert_ne!(Pepper::random().unwrap().hash("k"), hash);
    let secret = folder.join("x.db.secret");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(
            std::fs::metadata(&secret).unwrap().permissions().mode() & 0o777,
            0o600
        );
    }
    std::fs::write(&secret, b"short").unwrap();
    assert!(Pepper::beside(&database).is_err());
    std::fs::remove_dir_all(&folder).unwrap();
}
