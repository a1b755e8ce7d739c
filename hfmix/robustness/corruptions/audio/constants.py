"""Constants of severities 1 to 5, and the average spectrum of speech.

Unlike for images, there is no published set. Each row starts where people hear the change and ends where words
are hard to follow, or at the codec's floor; the tests measure on real speech, at 8 and at 16 kHz, that every step
changes it more. Speech Robust Bench (Shah et al. 2024, arXiv 2403.07937) gives the range if it has the corruption.
"""

SEVERITIES = (1, 2, 3, 4, 5)

CONSTANTS: dict[str, tuple] = {
    # signal-to-noise ratio in dB: Aurora-2's (Hirsch & Pearce 2000) but for -5; Speech Robust Bench 30 to 0
    "white_noise": (20, 15, 10, 5, 0),
    "pink_noise": (20, 15, 10, 5, 0),
    "synthetic_babble": (20, 15, 10, 5, 0),
    # RT60 in seconds: a damped room, an office, a classroom, a lecture hall, a small church
    "reverberation": (0.25, 0.4, 0.65, 1.0, 1.6),
    # cut-off in Hz: speech below 1.9 kHz and above it are understood equally well (French & Steinberg 1947);
    # Speech Robust Bench 4000 to 500
    "low_pass": (3000, 2000, 1500, 1000, 500),
    # band in Hz and bits of µ-law: ITU-T G.712 and G.711 first, then worse and worse lines
    "telephone": ((300, 3400, 8), (350, 3100, 6), (400, 2800, 5), (450, 2500, 4), (500, 2200, 3)),
    # share of the sampling rate: Speech Robust Bench's, with one step more
    "resampling": (0.75, 0.5, 0.375, 0.25, 0.125),
    # share of the samples that are clipped: the range of audiomentations' ClippingDistortion, 0 to 0.4
    "clipping": (0.02, 0.05, 0.1, 0.2, 0.4),
    # dB; Speech Robust Bench 10 to 40
    "gain": (6, 12, 18, 24, 30),
    # kbit/s of a mono stream, down to the format's lowest
    "mp3_compression": (48, 32, 24, 16, 8),
    # Vorbis' quality, down to libsndfile's lowest
    "vorbis_compression": (6, 4, 2, 1, 0),
    # kbit/s of a mono stream: from a good call over the internet to Opus' lowest
    "opus_compression": (24, 16, 12, 8, 6),
    # share of the clip's length
    "time_shift": (0.05, 0.1, 0.2, 0.3, 0.4),
    # factor, faster or slower: 1.1 is the usual augmentation (Ko et al. 2015); Speech Robust Bench 1.25 to 2
    "speed": (1.1, 1.2, 1.3, 1.5, 1.75),
}

# third-octave centre in Hz and level in dB SPL: the average over languages and sexes (Byrne et al. 1994,
# J. Acoust. Soc. Am. 96, 2108)
LTASS = (
    (63, 38.6),
    (80, 43.5),
    (100, 54.4),
    (125, 57.7),
    (160, 56.8),
    (200, 60.2),
    (250, 60.3),
    (315, 59.0),
    (400, 62.1),
    (500, 62.1),
    (630, 60.5),
    (800, 56.8),
    (1000, 53.7),
    (1250, 53.0),
    (1600, 52.0),
    (2000, 48.7),
    (2500, 48.1),
    (3150, 46.8),
    (4000, 45.6),
    (5000, 44.5),
    (6300, 44.3),
    (8000, 43.7),
    (10000, 43.4),
    (12500, 41.3),
    (16000, 40.7),
)
