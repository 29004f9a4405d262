//! One `[accounts.NAME]` table: every key of it, read and checked.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use base64::Engine as _;
use toml::de::DeTable;
use zeroize::Zeroizing;

use super::document::{Complaints, Section, argv, path_of, quoted};
use super::maildrop;
use super::paths::Env;
use super::pattern::{Mailboxes, Pattern};
use super::secret::{Secret, SecretSource};
use super::settings::{Account, Direction, Pin};
use crate::reconcile::types::{
    GuardLimits, Layout, MailboxName, OnLocalDelete, OnRemoteDelete, SpecialUse, Tls,
};

/// Every key of an account.
pub(super) const KEYS: [&str; 34] = [
    "protocol",
    "direction",
    "host",
    "port",
    "tls",
    "tls_ca",
    "tls_pin",
    "allow_cleartext",
    "user",
    "auth",
    "password_command",
    "password_file",
    "password_env",
    "password_credential",
    "password",
    "maildir",
    "layout",
    "info_separator",
    "mailboxes",
    "on_local_delete",
    "on_remote_delete",
    "poll",
    "on_change",
    "new_mail",
    "on_hold",
    "connections",
    "max_message_size",
    "min_free",
    "special_use",
    "guard",
    "timeout",
    "keep",
    "deliver_to",
    "deliver_command",
];

/// Keys of features to come: refused rather than ignored.
pub(super) const LATER: [&str; 2] = ["oauth", "password_keyring"];

/// The keys that say where the password is; an account has exactly one.
const SECRETS: [&str; 6] = [
    "password_command",
    "password_file",
    "password_env",
    "password_credential",
    "password",
    "password_keyring",
];

const USES: [(&str, SpecialUse); 7] = [
    ("all", SpecialUse::All),
    ("archive", SpecialUse::Archive),
    ("drafts", SpecialUse::Drafts),
    ("flagged", SpecialUse::Flagged),
    ("junk", SpecialUse::Junk),
    ("sent", SpecialUse::Sent),
    ("trash", SpecialUse::Trash),
];

/// One account; none when something was wrong, which was noted then.
pub(super) fn read(
    name: &str,
    s: Section<'_>,
    env: &Env,
    c: &mut Complaints<'_>,
) -> Option<Account> {
    let pop3 = s.choice("protocol", &[("imap", false), ("pop3", true)], &[], c).unwrap_or(false);
    maildrop::only_of(pop3, s, c);
    let auth = auth(s, pop3, c);
    let host = host(s, c);
    let allow_cleartext = s.boolean("allow_cleartext", c).unwrap_or(false);
    let (tls, port) = tls(s, host.as_deref(), allow_cleartext, pop3, c);
    let user = s.needed("user", c).filter(|item| {
        let clean = !item.value.chars().any(char::is_control);
        if !clean {
            c.at(item.at, "\"user\" holds a control character".to_owned());
        }
        clean
    });
    let secret = secret(s, env, c);
    let maildrop = pop3.then(|| maildrop::read(s, env, auth == Auth::Token, c));
    let maildir = match &maildrop {
        // Where it lodges is known when all accounts are.
        Some(drop) if drop.lodges() => Some(PathBuf::new()),
        _ => s.needed("maildir", c).and_then(|item| path_of("maildir", item, env, c)),
    };
    let layouts = [("nested", Layout::Nested), ("maildir++", Layout::MaildirPlusPlus)];
    let layout = s.choice("layout", &layouts, &[], c);
    let directions = [("both", Direction::Both), ("pull", Direction::Pull)];
    let on_local = [
        ("trash", OnLocalDelete::Trash),
        ("expunge", OnLocalDelete::Expunge),
        ("keep", OnLocalDelete::Keep),
    ];
    let on_remote = [("remove", OnRemoteDelete::Remove), ("keep", OnRemoteDelete::Keep)];
    Some(Account {
        name: name.to_owned(),
        port,
        tls,
        tls_ca: s.string("tls_ca", c).and_then(|item| path_of("tls_ca", item, env, c)),
        tls_pin: pin(s, tls, c),
        allow_cleartext,
        scram_only: auth == Auth::Scram,
        layout: layout.unwrap_or(Layout::Nested),
        info_separator: info_separator(s, c),
        direction: s.choice("direction", &directions, &[], c).unwrap_or(Direction::Both),
        mailboxes: mailboxes(s, c),
        on_local_delete: s
            .choice("on_local_delete", &on_local, &[], c)
            .unwrap_or(OnLocalDelete::Trash),
        on_remote_delete: s
            .choice("on_remote_delete", &on_remote, &[], c)
            .unwrap_or(OnRemoteDelete::Remove),
        poll: span(s, "poll", 300, 10, 86_400, c),
        on_change: argv(s, "on_change", env, c).unwrap_or_default(),
        new_mail: argv(s, "new_mail", env, c).unwrap_or_default(),
        on_hold: argv(s, "on_hold", env, c).unwrap_or_default(),
        connections: small(s, "connections", 32, c).unwrap_or(4),
        max_message_size: s.size("max_message_size", c).unwrap_or(1_000_000_000),
        min_free: s.size("min_free", c).unwrap_or(100_000_000),
        special_use: special_use(s, c),
        guard: guard(s, c),
        timeout: span(s, "timeout", 60, 5, 3_600, c),
        maildrop,
        host: host?,
        user: user?.value.to_owned(),
        secret: secret?,
        maildir: maildir?,
    })
}

/// How to sign in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Auth {
    /// By the best way for a password.
    Password,
    /// By SCRAM-SHA-256 or not at all.
    Scram,
    /// By a token. One that is fetched anew each time can be had by `password_command`.
    Token,
}

fn auth(s: Section<'_>, pop3: bool, c: &mut Complaints<'_>) -> Auth {
    let tokens = ["xoauth2", "oauthbearer"];
    let passwords = [("password", Auth::Password), ("scram-sha-256", Auth::Scram)];
    let taken = if pop3 {
        let words =
            [passwords[0], passwords[1], (tokens[0], Auth::Token), (tokens[1], Auth::Token)];
        s.choice("auth", &words, &[], c)
    } else {
        s.choice("auth", &passwords, &tokens, c)
    };
    taken.unwrap_or(Auth::Password)
}

fn host(s: Section<'_>, c: &mut Complaints<'_>) -> Option<String> {
    let item = s.needed("host", c)?;
    let text = item.value;
    if text.parse::<IpAddr>().is_ok() {
        return Some(text.to_owned());
    }
    let wrong = if text.contains("://") {
        "is a name like \"imap.example.org\", without a scheme: \"tls\" says how to connect"
    } else if text.contains(':') {
        "is a name like \"imap.example.org\": the port goes into \"port\""
    } else if text.len() > 255 || text.chars().any(|x| x.is_control() || " /@[]\"".contains(x)) {
        "is a name like \"imap.example.org\" or an address"
    } else {
        return Some(text.to_owned());
    };
    // Before an @ may stand a password.
    let shown = if text.contains('@') { String::new() } else { format!(", not {}", quoted(text)) };
    c.at(item.at, format!("\"host\" {wrong}{shown}"));
    None
}

fn is_loopback(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost") || host.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
}

fn tls(
    s: Section<'_>,
    host: Option<&str>,
    allowed: bool,
    pop3: bool,
    c: &mut Complaints<'_>,
) -> (Tls, u16) {
    let words = [("implicit", Tls::Implicit), ("starttls", Tls::StartTls), ("none", Tls::None)];
    let tls = s.choice("tls", &words, &[], c).unwrap_or(Tls::Implicit);
    if tls == Tls::None && !allowed && !host.is_none_or(is_loopback) {
        let text = "tls = \"none\" would send the password in the clear: use \"implicit\" or \
                    \"starttls\", or say allow_cleartext = true";
        c.at(s.place("tls"), text.to_owned());
    }
    let port = s.number("port", 1, u32::from(u16::MAX), c).and_then(|p| u16::try_from(p).ok());
    let usual = match (tls == Tls::Implicit, pop3) {
        (true, false) => 993,
        (false, false) => 143,
        (true, true) => 995,
        (false, true) => 110,
    };
    (tls, port.unwrap_or(usual))
}

fn pin(s: Section<'_>, tls: Tls, c: &mut Complaints<'_>) -> Option<Pin> {
    let item = s.string("tls_pin", c)?;
    if tls == Tls::None {
        c.at(item.at, "\"tls_pin\" cannot be used with tls = \"none\"".to_owned());
    }
    let bytes = item.value.strip_prefix("sha256:").and_then(|text| {
        if text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit()) {
            let byte = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).ok();
            return (0..64).step_by(2).map(byte).collect::<Option<Vec<u8>>>();
        }
        let bare = text.trim_end_matches('=');
        base64::engine::general_purpose::STANDARD_NO_PAD.decode(bare).ok()
    });
    let pin = bytes.and_then(|b| <[u8; 32]>::try_from(b).ok()).map(Pin);
    if pin.is_none() {
        let form =
            "must be \"sha256:\" and the SHA-256 of the server's public key, in hex or base64";
        c.at(item.at, format!("\"tls_pin\" {form}, not {}", quoted(item.value)));
    }
    pin
}

/// The one source of the password. An account that names one does not see that of [defaults].
fn secret(s: Section<'_>, env: &Env, c: &mut Complaints<'_>) -> Option<SecretSource> {
    let of = |table: &DeTable<'_>| SECRETS.into_iter().filter(|k| table.contains_key(*k)).collect();
    let own: Vec<&str> = of(s.own);
    let found = if own.is_empty() { s.defaults.map(of).unwrap_or_default() } else { own };
    let [key] = found[..] else {
        let title = s.title;
        let text = match found[..] {
            [] => format!("{title} needs a password: one of {}", SECRETS[..5].join(", ")),
            _ => format!("{title} has several passwords ({}): keep one", found.join(", ")),
        };
        c.at(found.first().map_or(s.at, |key| s.place(key)), text);
        return None;
    };
    if key == "password_command" {
        let command = argv(s, key, env, c)?;
        if command.is_empty() {
            c.at(s.place(key), "\"password_command\" is empty".to_owned());
            return None;
        }
        return Some(SecretSource::Command(command));
    }
    let item = s.needed(key, c)?;
    match key {
        "password_file" => path_of(key, item, env, c).map(SecretSource::File),
        "password_env" => {
            if item.value.contains(['=', '\0', '$']) {
                let text = "\"password_env\" is the name of a variable, without $ and value";
                c.at(item.at, text.to_owned());
                return None;
            }
            Some(SecretSource::Env(item.value.to_owned()))
        }
        "password_credential" => {
            if item.value.contains(['/', '\0']) || item.value.starts_with('.') {
                let text = "\"password_credential\" is a name as in LoadCredential=, no path";
                c.at(item.at, text.to_owned());
                return None;
            }
            let name = item.value.to_owned();
            let file = env.systemd("CREDENTIALS_DIRECTORY").map(|dir| dir.join(&name));
            Some(SecretSource::Credential { name, file })
        }
        _ => Some(SecretSource::Inline(Secret::new(Zeroizing::new(item.value.to_owned())))),
    }
}

fn info_separator(s: Section<'_>, c: &mut Complaints<'_>) -> char {
    let words = [(":", ':'), (";", ';'), ("!", '!')];
    s.choice("info_separator", &words, &[], c).unwrap_or(':')
}

fn mailboxes(s: Section<'_>, c: &mut Complaints<'_>) -> Mailboxes {
    let Some(table) = s.table("mailboxes", c) else { return Mailboxes::default() };
    table.only(&["include", "exclude"], &[], c);
    let mut patterns = |key| {
        let list = table.strings(key, c)?;
        let mut taken = Vec::with_capacity(list.len());
        for item in list {
            match Pattern::new(item.value) {
                Ok(pattern) => taken.push(pattern),
                Err(why) => c.at(item.at, format!("the pattern {} {why}", quoted(item.value))),
            }
        }
        Some(taken)
    };
    let include = patterns("include").unwrap_or_else(|| Mailboxes::default().include);
    Mailboxes { include, exclude: patterns("exclude").unwrap_or_default() }
}

fn special_use(s: Section<'_>, c: &mut Complaints<'_>) -> BTreeMap<SpecialUse, MailboxName> {
    let mut map = BTreeMap::new();
    let Some(table) = s.table("special_use", c) else { return map };
    table.only(&USES.map(|(word, _)| word), &[], c);
    for (word, special_use) in USES {
        if table.own.contains_key(word)
            && let Some(item) = table.needed(word, c)
        {
            map.insert(special_use, MailboxName::new(item.value));
        }
    }
    map
}

fn guard(s: Section<'_>, c: &mut Complaints<'_>) -> GuardLimits {
    let Some(table) = s.table("guard", c) else { return GuardLimits::default() };
    table.only(&["percent", "messages", "always"], &[], c);
    let default = GuardLimits::default();
    let mut number = |key, max| table.number(key, 0, max, c).map(u64::from);
    let percent = number("percent", 100);
    // Whoever sets a share means it, also in a small mailbox.
    let floor = if percent.is_some() { 0 } else { default.always };
    GuardLimits {
        percent: percent.unwrap_or(default.percent),
        messages: number("messages", u32::MAX).unwrap_or(default.messages),
        always: number("always", u32::MAX).unwrap_or(floor),
    }
}

fn small(s: Section<'_>, key: &str, max: u8, c: &mut Complaints<'_>) -> Option<u8> {
    s.number(key, 1, u32::from(max), c).and_then(|n| u8::try_from(n).ok())
}

/// A span of time between limits in seconds.
fn span(
    s: Section<'_>,
    key: &str,
    default: u64,
    min: u64,
    max: u64,
    c: &mut Complaints<'_>,
) -> Duration {
    let Some(item) = s.duration(key, c) else { return Duration::from_secs(default) };
    if !(min..=max).contains(&item.value.as_secs()) {
        c.at(item.at, format!("\"{key}\" must be from {min}s to {max}s"));
    }
    item.value
}
