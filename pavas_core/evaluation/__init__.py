"""How well sound follows physics: onsets, and the Audio-Physics Correlation Coefficient (APCC)."""
