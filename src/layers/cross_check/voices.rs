//! Who reviews and who arbitrates.

use std::sync::Arc;

use crate::{
    catalog::{Capability, Deployment, DeploymentId, Targets, Tier},
    model::{RouteHint, Start},
};

/// Where up to `count` reviewers of `primary`'s answer are asked, each among deployments of its own: the same tier first, then
/// those above, then those below.
pub(super) fn reviewers(route: &RouteHint, primary: &Deployment, count: usize) -> Vec<RouteHint> {
    let mut others = others(route, primary, &[]);
    others.sort_by_key(|d| (distance(primary.tier, d.tier), d.tier));
    let count = count.min(others.len());
    let group = |first: usize| others.iter().skip(first).step_by(count.max(1));
    (0..count)
        .map(|first| {
            let tier = others[first].tier;
            let same_or_above = group(first).filter(|d| d.tier >= tier).cloned();
            hint(route, primary, same_or_above.collect())
        })
        .collect()
}

/// Where the arbiter is asked: above `primary`, else beside it, among those who have not spoken; else among the reviewers.
/// `None` if there is nobody but the primary.
pub(super) fn arbiter(
    route: &RouteHint,
    primary: &Deployment,
    reviewers: &[DeploymentId],
) -> Option<RouteHint> {
    let fresh = others(route, primary, reviewers);
    let (above, rest): (Vec<_>, Vec<_>) = fresh.into_iter().partition(|d| d.tier > primary.tier);
    let beside = rest.into_iter().filter(|d| d.tier == primary.tier);
    let mut spoken = others(route, primary, &[]);
    spoken.retain(|d| reviewers.contains(&d.id));
    let highest = spoken.iter().map(|d| d.tier).max();
    spoken.retain(|d| Some(d.tier) == highest);
    [above, beside.collect(), spoken]
        .into_iter()
        .find(|group| !group.is_empty())
        .map(|group| hint(route, primary, group))
}

/// Nobody is asked who may not be, and none who cannot chat.
fn others(route: &RouteHint, primary: &Deployment, but: &[DeploymentId]) -> Vec<Arc<Deployment>> {
    let allowed = |d: &&Arc<Deployment>| {
        (route.min_tier..=route.max_tier).contains(&d.tier)
            && d.id != primary.id
            && !route.exclude.contains(&d.id)
            && !but.contains(&d.id)
            && !d.capabilities.contains(Capability::Embeddings.into())
    };
    let targets = route.targets.first().iter();
    targets.filter(allowed).cloned().collect()
}

fn distance(from: Tier, to: Tier) -> (bool, u8) {
    (to < from, from.level().abs_diff(to.level()))
}

fn hint(route: &RouteHint, primary: &Deployment, among: Vec<Arc<Deployment>>) -> RouteHint {
    let mut exclude = route.exclude.clone();
    exclude.push(primary.id.clone());
    RouteHint {
        min_tier: among.iter().map(|d| d.tier).min().unwrap_or(route.min_tier),
        max_tier: route.max_tier,
        start: Start::Lowest,
        targets: Targets::new(among),
        exclude,
    }
}
