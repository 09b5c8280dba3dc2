//! From the validated document of `crds` to the engine's settings.
