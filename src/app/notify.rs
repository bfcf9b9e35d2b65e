//! Who is told of each change of a rollout: reads the secrets and begins to tell.

use std::path::Path;
use std::sync::Arc;

use crate::app::error::AppError;
use crate::config::{Notifications, Receiver, Settings, Url};
use crate::control::controller::ServiceStore;
use crate::domain::address::Address;
use crate::notify::{self, Notifier, Pace};
use crate::sources::credential::{Credential, Scheme};
use crate::sources::mailbox::Mailbox;

/// Begins to tell, where somebody is to be told. To be called before the first decision, so that none is missed.
pub(super) fn start(settings: &Settings, store: &Arc<ServiceStore>, admin: &[(Address, bool)]) -> Result<Option<Notifier>, AppError> {
    let Some(Notifications { link, receivers }) = &settings.notifications else { return Ok(None) };
    let receivers = receivers.iter().map(receiver).collect::<Result<Vec<_>, _>>()?;
    let link = format!("{}/", link.clone().unwrap_or_else(|| dashboard(admin)));
    Ok(Some(Notifier::start(Arc::clone(store), &settings.state, receivers, link, Pace::default())?))
}

/// Returns the URL of the admin listener; of the socket's path where there is no other, which people on the machine understand.
fn dashboard(admin: &[(Address, bool)]) -> String {
    let url = admin.iter().find_map(|(address, encrypted)| Some(format!("http{}://{}", if *encrypted { "s" } else { "" }, address.ip()?)));
    url.or_else(|| Some(admin.first()?.0.to_string())).unwrap_or_default()
}

/// Reads what a receiver keeps in files.
fn receiver(written: &Receiver) -> Result<notify::Receiver, AppError> {
    let name = &written.name;
    let refuse = |why: String| AppError::Notifications(format!("{name} cannot be told: {why}"));
    let mut mailbox = match &written.url {
        Url::Written(url) => Mailbox::new(url, written.ca.as_deref()),
        Url::InFile(path) => Mailbox::new(&read(path).map_err(&refuse)?, written.ca.as_deref()),
    }
    .map_err(|error| refuse(error.to_string()))?;
    if let Some(path) = &written.token_file {
        mailbox = mailbox.with_credential(Credential::read(path, Scheme::Bearer).map_err(|error| refuse(error.to_string()))?);
    }
    let has_secret = written.token_file.is_some() || matches!(written.url, Url::InFile(_));
    if has_secret && !mailbox.is_confidential() {
        return Err(refuse(format!("{mailbox} is in clear text, and its secret would be sent for everybody to read; write https://")));
    }
    Ok(notify::Receiver { name: name.to_string(), kind: written.kind, mailbox })
}

fn read(path: &Path) -> Result<String, String> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("{} cannot be read: {error}", path.display()))?;
    Ok(text.trim().to_owned())
}
