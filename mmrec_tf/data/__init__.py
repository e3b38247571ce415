"""Tables and media in, validated `RecData` and splits out.

`tables` reads files, `validation` checks them and reports, `rec_data` is what every other folder works on, `splits`
divides its interactions, `inspection` guesses a first schema. Nothing is imported here, so that a part costs only
what it needs itself.
"""
