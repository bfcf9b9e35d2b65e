//! What the operator says of all sidecars on the command line, the same for `inject`, `webhook` and a policy.

use crate::kube::inject::annotations::is_object_name;
use crate::kube::inject::settings::{Families, Image, Mode, Release, Settings};

/// The settings of all sidecars.
#[derive(Clone, Debug, clap::Args)]
pub struct SidecarArgs {
    /// The image of the proxy.
    #[arg(long, value_name = "IMAGE", default_value_t = usual_image())]
    image: Image,
    /// The image of the init container in the mode intercept, which needs iptables-restore; absent: that of the proxy.
    #[arg(long, value_name = "IMAGE")]
    init_image: Option<Image>,
    /// The oldest release of Kubernetes that must take the pods; before 1.29 the proxy is an ordinary container.
    #[arg(long, value_name = "1.N", default_value_t = Release::USUAL)]
    kube_version: Release,
    /// How traffic comes to the proxy where a pod does not say it: explicit (the Service or the application names its port; no
    /// privileges) or intercept (an init container redirects listed ports; NET_ADMIN and NET_RAW).
    #[arg(long, value_name = "MODE", default_value = "explicit")]
    mode: Mode,
    /// The ConfigMap with the configuration, for pods that name none.
    #[arg(long, value_name = "NAME", value_parser = config_map)]
    config_map: Option<String>,
    /// The user and group that the proxy runs as.
    #[arg(long, value_name = "UID", default_value_t = Settings::UID, value_parser = clap::value_parser!(u32).range(1..=2_147_483_647))]
    proxy_uid: u32,
    /// The families of addresses that pods have: ipv4, ipv6 or dual.
    #[arg(long, value_name = "FAMILIES", default_value = "ipv4")]
    ip_families: Families,
    /// Leave pods alone that do not ask by the label portcullis/inject: "true".
    #[arg(long)]
    opt_in: bool,
}

impl SidecarArgs {
    /// Returns what they say.
    #[must_use]
    pub fn settings(&self) -> Settings {
        Settings {
            image: self.image.clone(),
            init_image: self.init_image.clone(),
            release: self.kube_version,
            mode: self.mode,
            uid: self.proxy_uid,
            families: self.ip_families,
            config_map: self.config_map.clone(),
            opt_in: self.opt_in,
        }
    }
}

/// Returns the image that is meant where none is named: that of this release.
#[must_use]
pub fn usual_image() -> Image {
    concat!("portcullis:", env!("CARGO_PKG_VERSION")).parse().expect("the name and the release of this program name an image")
}

fn config_map(text: &str) -> Result<String, String> {
    let hint = || "a ConfigMap is named by lower-case letters, digits, '-' and '.', such as carts-portcullis".to_owned();
    if is_object_name(text) { Ok(text.to_owned()) } else { Err(hint()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_config_maps_are_checked() {
        assert!(config_map("a.b-1").is_ok() && config_map("A").is_err() && config_map("").is_err() && config_map("a..b").is_err());
    }
}
