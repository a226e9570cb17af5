"""The error tree. Each class has a stable code; `edge/status.py` maps each to a gRPC status.

AutoglmError
├── RequestError                 the request cannot be served as it stands
│   ├── InvalidArgumentError     a field is out of its range; names the field
│   ├── PromptTooLongError       the prompt does not fit the context; carries the counts
│   ├── ModelNotFoundError       no such model is served; carries the known names
│   ├── RequestIdInUseError      a running request has this id
│   ├── SessionBusyError         a running request has this session
│   ├── SessionNotFoundError     the caller has no session of this name
│   │   └── AnswerNotFoundError  or none with such an answer to take up
│   ├── AnswerGoneError          it has, and it can no longer be told as it was
│   ├── SessionExistsError       the caller has a session of this name already
│   ├── TransferStalledError     the other side of a session's file does not go on
│   └── NotSupportedError        this daemon does not do that
├── CapacityError
│   ├── QueueFullError           the line is full; says when to come back
│   └── TransfersBusyError       as many sessions as may are being exported and imported
├── UnavailableError
│   ├── ModelNotReadyError       loading or preparing; carries which
│   │   └── ModelFailedError     could not be loaded; carries why
│   ├── DrainingError            the daemon is stopping
│   └── EngineFailedError        a step raised; its sequences end, the daemon goes on
├── ModelError                   a bundle on disk cannot be used
│   ├── ModelMissingError        a folder or file is not there
│   ├── ModelCorruptError        a file is there and broken
│   ├── ModelUnsupportedError    whole, but not something we can run
│   ├── TokenizerError           the tokenizer is missing, broken, or another model's
│   └── DeviceUnavailableError   the device asked for is not there, and no fall-back was allowed
├── SessionError                 a conversation on disk cannot be used
│   ├── SessionNewerError        a newer autoglmd wrote it
│   └── SessionLockedError       it is encrypted and there is no key, or the other way about
├── ConfigError                  the configuration is wrong; names key, value and remedy
└── HostError                    the box refused: a socket in use, a folder not writable
    └── SocketInUseError
"""
