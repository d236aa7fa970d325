use super::*;

#[test]
fn r32_a_tool_that_is_not_there_is_named_with_the_nearest() {
    assert_eq!(
        faults("[tools]\nchta = true\nallow = [\"wriet\"]\nroute = \"yes\"\n"),
        [
            "rungs.toml:2: unknown key `tools.chta`; did you mean `chat`?",
            "rungs.toml:3: `tools.allow[0]`: `wriet` is not one of read, write, exec, net; did you mean `write`?",
            "rungs.toml:4: `tools.route`: is true or false",
        ]
    );
}

#[test]
fn r32_what_is_wrong_with_the_server_is_named() {
    assert_eq!(
        faults("[mcp_server]\nmax_sessions = 0\nhots = []\n[mcp_server.oauth]\nissuer = \"x\"\n"),
        [
            "rungs.toml:3: unknown key `mcp_server.hots`; did you mean `hosts`?",
            "rungs.toml:5: `mcp_server.oauth.issuer`: `x` is no URL like https://auth.example.com",
        ]
    );
    assert_eq!(
        faults("[mcp_server]\nhosts = [\"a.example\", \"b.example:3000\"]\n"),
        [
            "rungs.toml:2: `mcp_server.hosts`: `b.example:3000` is no name like gateway.example.com, without a port"
        ]
    );
    let oauth = "[mcp_server]\nmax_sessions = 0\n[mcp_server.oauth]\nissuer = \"https://a.example\"\naudience = \"https://g.example/mcp\"\n\
        jwks = \"http://a.example/keys\"\nkey = \"latpop\"\n[[key]]\nname = \"laptop\"\nkey = \"zq4-Hn81-vw7x-Tk20\"\n";
    assert_eq!(
        faults(oauth),
        [
            "rungs.toml:2: `mcp_server.max_sessions`: must be at least 1",
            "rungs.toml:6: `mcp_server.oauth.jwks`: is not https: whoever is on the way could open the gateway; `allow_private = true` accepts that",
            "rungs.toml:7: `mcp_server.oauth.key`: there is no key `latpop` in the file; did you mean `laptop`?",
        ]
    );
}
