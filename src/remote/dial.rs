//! From a host name to a stream that may carry a secret.

use super::allowance::Allowance;
use super::endpoint::{Endpoint, Tls};
use super::error::RemoteError;
use super::tls::secure;
use super::transport::{BoxStream, Connector};

/// Dials, and secures the stream where that comes first. Whoever would have to say the secret
/// in clear text is not even dialled.
pub(crate) async fn open(
    endpoint: &Endpoint,
    connector: &dyn Connector,
) -> Result<(BoxStream, Allowance), RemoteError> {
    if endpoint.tls == Tls::None && !endpoint.is_loopback() && !endpoint.allow_cleartext {
        return Err(RemoteError::Cleartext { host: endpoint.host.clone() });
    }
    let mut allowance = Allowance::new(endpoint.timeout);
    let mut stream = dial(endpoint, connector, &mut allowance).await?;
    if endpoint.tls == Tls::Implicit {
        stream = secure(stream, endpoint, &mut allowance).await?;
    }
    Ok((stream, allowance))
}

async fn dial(
    endpoint: &Endpoint,
    connector: &dyn Connector,
    allowance: &mut Allowance,
) -> Result<BoxStream, RemoteError> {
    let to = format!("{}:{}", endpoint.host, endpoint.port);
    let dialled = connector.connect(&endpoint.host, endpoint.port);
    match allowance.reading.within(dialled).await {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(source)) => Err(RemoteError::Connect { to, source }),
        Err(after) => {
            let doing = format!("connecting to {to}");
            Err(RemoteError::Timeout { doing, after })
        }
    }
}
