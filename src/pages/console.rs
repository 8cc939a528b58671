//! The console: its page, and the figures it shows each second.
//!
//! The page itself tells nothing: all that it shows it asks of the HTTP API with the key or token
//! of an administrator, and it hears [`feed`] by a ticket that such a one gets.

mod feed;

use actix_web::{HttpRequest, HttpResponse, web};

use super::file::{File, answer_of, files, guarded, reading, with_slash};
use crate::config::Config;
use crate::hub::Hub;

const FILES: &[File] = &files![
    "clients/js/console":
    "api.js",
    "charts.js",
    "console.css",
    "console.js",
    "dom.js",
    "event.js",
    "figures.js",
    "icon.svg",
    "index.html",
    "nodes.js",
    "user.js",
    "vendor/uPlot-LICENSE.txt",
    "vendor/uPlot.iife.min.js",
    "vendor/uPlot.min.css",
];

/// The console of one hub. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Console(Hub);

impl Console {
    /// The console, if the configuration wants it.
    pub(crate) fn of(hub: &Hub, config: &Config) -> Option<Self> {
        config.has_console().then(|| Self(hub.clone()))
    }

    /// Starts to tell the figures to whoever listens.
    pub(crate) fn start(&self) {
        actix::spawn(feed::run(self.0.clone()));
    }

    /// Mounts `/console`.
    pub(crate) fn configure(services: &mut web::ServiceConfig) {
        services
            .service(web::resource("/console").wrap(guarded()).route(reading().to(with_slash)))
            .service(web::resource("/console/{path:.*}").wrap(guarded()).route(reading().to(file)));
    }
}

async fn file(request: HttpRequest, path: web::Path<String>) -> HttpResponse {
    answer_of(FILES, &path, &request)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_and_its_scripts_name_only_files_that_are_served() {
        let served = |path: &str| FILES.iter().any(|file| file.path == path);
        let mut names = 0;
        for file in FILES.iter().filter(|file| !file.path.starts_with("vendor/")) {
            let quoted = file.text.split('"').skip(1).step_by(2);
            for name in quoted.filter_map(|text| text.strip_prefix("./")) {
                assert!(served(name), "{} names {name}", file.path);
                names += 1;
            }
        }
        assert!(names > 8, "only {names} names found");
    }

    #[test]
    fn nothing_of_the_page_is_inline() {
        for file in FILES.iter().filter(|file| file.path.ends_with(".html")) {
            for inline in ["<style", " style=", "<script>", " onclick=", "javascript:"] {
                assert!(!file.text.contains(inline), "{} has {inline}", file.path);
            }
        }
    }
}
