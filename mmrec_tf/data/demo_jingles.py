"""The demo shop's jingles: short melodies whose mood can be heard.

A mood is one of eight positions on the circumplex of affect (Russell, 1980): cheerful, excited, alert, tense, sad,
gloomy, calm, serene. What music psychology ties to its two axes is what a jingle is made of: arousal sets tempo,
brightness and attack; valence sets mode, register and how hollow the tone is. The tune itself varies at random.
"""

import wave
from io import BytesIO

import numpy as np

SAMPLE_RATE = 16000
SECONDS = 1.5

MOOD_NAMES = ("cheerful", "excited", "alert", "tense", "sad", "gloomy", "calm", "serene")

_MAJOR = (0, 2, 4, 7, 9)
_SUSPENDED = (0, 2, 5, 7, 10)
_MINOR = (0, 2, 3, 7, 8)


def compose_jingle(rng: np.random.Generator, mood: int) -> bytes:
    """A jingle as a WAV file's bytes: mono, 16 bit, `SAMPLE_RATE` Hz, `SECONDS` long.

    Args:
        rng: decides the tune, and small differences of key and tempo.
        mood: int. Position in `MOOD_NAMES`.
    """
    angle = 2 * np.pi * mood / len(MOOD_NAMES)
    valence, arousal = np.cos(angle), np.sin(angle)
    scale = _MAJOR if valence > 0.3 else _MINOR if valence < -0.3 else _SUSPENDED
    root = 62 + 8 * valence + rng.integers(-2, 3)
    notes = max(2, round(SECONDS * (4.2 + 2.3 * arousal) * rng.uniform(0.92, 1.08)))

    sound = np.zeros(round(SAMPLE_RATE * SECONDS))
    step = len(sound) // notes
    for number, degree in enumerate(_tune(rng, notes)):
        octave, place = divmod(int(degree), len(scale))
        # A note rings on into the next one, the longer the calmer the mood.
        length = min(len(sound) - number * step, round(step * (1.6 - 0.4 * arousal)))
        tone = _tone(root + 12 * octave + scale[place], length, valence, arousal)
        sound[number * step : number * step + length] += tone * rng.uniform(0.85, 1.0)
    for interval in (-12, scale[2], 7):
        sound += 0.16 * _tone(root + interval, len(sound), valence, -1.0)
    sound *= rng.uniform(0.6, 0.8) / np.abs(sound).max()
    sound += rng.normal(0, 0.002, size=len(sound))
    fade = round(0.03 * SAMPLE_RATE)
    sound[-fade:] *= np.linspace(1, 0, fade)
    return _wav(sound)


def _tune(rng, notes):
    """Degrees of the scale: a walk in small steps that begins and ends on the root."""
    walk = (np.cumsum(rng.choice((-2, -1, 1, 2), size=notes)) + 2) % 16
    # Folded back at the ends of the range -2 to 6, where clipping would repeat one note.
    degrees = np.minimum(walk, 16 - walk) - 2
    degrees[0] = degrees[-1] = 0
    return degrees


def _tone(pitch, length, valence, arousal):
    """One note: harmonics that fall off faster the lower the arousal, under an envelope of attack and decay."""
    time = np.arange(length) / SAMPLE_RATE
    frequency = 440.0 * 2 ** ((pitch - 69) / 12)
    fall = 1.9 - 0.9 * arousal
    tone = np.zeros(length)
    below, wave_now, twice_cosine = 0.0, np.sin(2 * np.pi * frequency * time), 2 * np.cos(2 * np.pi * frequency * time)
    for harmonic in range(1, min(12, int(0.45 * SAMPLE_RATE / frequency)) + 1):
        # Odd harmonics alone sound hollow, like a clarinet's low notes.
        even = 1.0 if harmonic % 2 else 0.5 + 0.5 * valence
        tone += even * harmonic**-fall * wave_now
        # sin((n + 1) x) = 2 cos(x) sin(n x) - sin((n - 1) x), several times quicker than another sine.
        below, wave_now = wave_now, twice_cosine * wave_now - below
    attack = max(1, round(SAMPLE_RATE * (0.035 - 0.03 * arousal)))
    envelope = np.exp(-time * (3.2 + 2.6 * arousal)) * np.minimum(1.0, np.arange(length) / attack)
    release = min(length, round(0.02 * SAMPLE_RATE))
    envelope[-release:] *= np.linspace(1, 0, release)
    return tone * envelope


def _wav(sound):
    file = BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(2)
        writer.setframerate(SAMPLE_RATE)
        writer.writeframes((np.clip(sound, -1, 1) * 32767).astype("<i2").tobytes())
    return file.getvalue()
