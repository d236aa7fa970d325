//! Gateways are rarely root's, and rights of root hide what does not work without them.

use std::{
    io,
    os::unix::process::CommandExt,
    process::{Command, Stdio},
};

use super::{
    Folder,
    jails::{jails, sh},
};

/// Who owns nothing.
const NOBODY: u32 = 65_534;

#[test]
fn programs_of_an_ordinary_user_are_behind_the_same_walls() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let mut again = Command::new(std::env::current_exe().unwrap());
    let again = again
        .args([
            "sandbox::tests::programs",
            "sandbox::tests::ends",
            "no_rights",
        ])
        .stdin(Stdio::null())
        .uid(NOBODY)
        .gid(NOBODY);
    match again.output() {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            println!("nobody may not start this program where it lies: {error}");
        }
        output => {
            let output = output.unwrap();
            let said = String::from_utf8_lossy(&output.stdout);
            assert!(output.status.success(), "{said}");
        }
    }
}

#[tokio::test]
async fn a_program_has_no_rights() {
    let folder = Folder::new();
    for (without, jail) in jails(&folder) {
        let ended = sh(
            &jail,
            "grep -E '^Cap(Inh|Prm|Eff|Amb)' /proc/self/status | cut -f 2 | uniq",
        )
        .await;
        assert_eq!(
            ended.stdout.text, "0000000000000000\n",
            "without {without:?}"
        );
    }
}
