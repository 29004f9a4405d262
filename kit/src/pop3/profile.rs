//! Which POP3 server is simulated: each extension on or off, and the habits real servers have.

/// A server's capabilities and habits. All fields may be changed at any time
/// ([`Server::configure`](super::Server::configure)).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    /// CAPA (RFC 2449).
    pub capa: bool,
    /// PIPELINING is announced; commands sent ahead are answered in any case.
    pub pipelining: bool,
    /// UIDL.
    pub uidl: bool,
    /// TOP.
    pub top: bool,
    /// USER and PASS.
    pub user: bool,
    /// The mechanisms of AUTH: PLAIN, SCRAM-SHA-256, XOAUTH2, OAUTHBEARER.
    pub sasl: Vec<String>,
    /// AUTH takes a first response in its line. Off: the server hangs up, as Microsoft does.
    pub sasl_ir: bool,
    /// The greeting has a timestamp, and APOP is taken.
    pub apop: bool,
    /// STLS is offered on a connection that is not yet encrypted.
    pub stls: bool,
    /// Nobody signs in before the connection is encrypted.
    pub needs_tls: bool,
    /// UTF8 (RFC 6856).
    pub utf8: bool,
    /// Refusals have response codes (RFC 2449 §8, RFC 3206).
    pub resp_codes: bool,
    /// What EXPIRE announces.
    pub expire: Option<String>,
    /// What LOGIN-DELAY announces, in seconds.
    pub login_delay: Option<u64>,
    /// Sign-ins are refused as too early.
    pub too_soon: bool,
    /// The maildrop has one session at a time; others are refused.
    pub lock: bool,
    /// Somebody else has the maildrop all the time.
    pub locked: bool,
    /// In the manner of Gmail: what was retrieved in a session that ended in order is not
    /// listed again, but to users that begin with `recent:`.
    pub gmail: bool,
    /// How many messages a session lists at most, the oldest first.
    pub window: Option<usize>,
    /// Lines end in a bare LF.
    pub bare_lf: bool,
    /// User and password; none lets everybody in.
    pub credentials: Option<(String, String)>,
    /// The token that XOAUTH2 and OAUTHBEARER want; none takes any.
    pub token: Option<String>,
}

impl Default for Profile {
    /// As Dovecot has it.
    fn default() -> Self {
        Self {
            capa: true,
            pipelining: true,
            uidl: true,
            top: true,
            user: true,
            sasl: vec!["PLAIN".to_owned()],
            sasl_ir: true,
            apop: false,
            stls: false,
            needs_tls: false,
            utf8: false,
            resp_codes: true,
            expire: None,
            login_delay: None,
            too_soon: false,
            lock: false,
            locked: false,
            gmail: false,
            window: None,
            bare_lf: false,
            credentials: None,
            token: None,
        }
    }
}

impl Profile {
    /// RFC 1939 and nothing optional but UIDL.
    #[must_use]
    pub fn plain() -> Self {
        Self {
            capa: false,
            pipelining: false,
            sasl: Vec::new(),
            resp_codes: false,
            ..Self::default()
        }
    }

    /// In the manner of Gmail: 250 messages at a time, each to be had once.
    #[must_use]
    pub fn gmail() -> Self {
        let sasl = ["PLAIN", "XOAUTH2", "OAUTHBEARER"].map(str::to_owned).to_vec();
        let expire = Some("0".to_owned());
        Self { gmail: true, window: Some(250), sasl, expire, ..Self::default() }
    }

    /// In the manner of Microsoft 365: no pipelining, a token in a line of its own.
    #[must_use]
    pub fn microsoft() -> Self {
        let sasl = ["PLAIN", "XOAUTH2"].map(str::to_owned).to_vec();
        Self { pipelining: false, sasl, sasl_ir: false, ..Self::default() }
    }

    /// The lines of CAPA.
    #[must_use]
    pub fn capabilities(&self, encrypted: bool) -> Vec<String> {
        let may = encrypted || !self.needs_tls;
        let sasl = format!("SASL {}", self.sasl.join(" "));
        let expire = self.expire.as_ref().map(|text| format!("EXPIRE {text}"));
        let delay = self.login_delay.map(|seconds| format!("LOGIN-DELAY {seconds}"));
        let list = [
            (self.top, "TOP"),
            (self.uidl, "UIDL"),
            (self.user && may, "USER"),
            (!self.sasl.is_empty() && may, &sasl),
            (self.resp_codes, "RESP-CODES"),
            (self.resp_codes, "AUTH-RESP-CODE"),
            (self.pipelining, "PIPELINING"),
            (self.stls && !encrypted, "STLS"),
            (self.utf8, "UTF8"),
            (expire.is_some(), expire.as_deref().unwrap_or_default()),
            (delay.is_some(), delay.as_deref().unwrap_or_default()),
            (true, "IMPLEMENTATION simulated"),
        ];
        list.into_iter().filter(|(on, _)| *on).map(|(_, line)| line.to_owned()).collect()
    }
}
