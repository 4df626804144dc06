"""Simulated scenes with known truth: bodies, strikes, cameras, pictures and sound.

* ``simulate.simulate(seed)`` plays the scene of a seed: the kinds and their shares are ``scenes.KINDS``.
* ``simulate.counterfactual(sim, mass_scale, speed_scale)``: the same pictures with other masses or speeds.
* ``clip_files.write_clip(sim, path)`` renders and compresses it, ``clip_files.sound_of(sim)`` lets it be heard.
* ``dataset.write_dataset(folder, seeds)`` is ``python -m pavas_core simulate``.
* ``score.run(seeds)`` measures the estimators against the truth (``python -m pavas_core simulate --score``). Seeds from
  10 000 on are for evaluation; develop on those below 1000.

Truth is that of the centre of mass of each object; a tool's is its head's (a stick's middle), while its mask holds all
that moves with it, handle and forearm too. Times are exact, not those of frames.
"""
