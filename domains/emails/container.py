"""What the emails domain depends on and what it exports."""

from pathlib import Path

from dependency_injector import containers, providers

from domains.emails import router as router_module
from domains.emails import tasks as tasks_module
from domains.emails.gateway.null import NullTransport
from domains.emails.gateway.transport import SmtpTransport
from domains.emails.repository import EmailRepository
from domains.emails.service.delivery import DeliveryService
from domains.emails.service.emails import EmailService
from domains.emails.service.encryption import MailEncryption
from domains.emails.service.mailer import MailerService
from domains.emails.service.measuring import EmailMeasures
from domains.emails.service.mime import mail_host, sender_of
from domains.emails.service.rendering import Renderer
from domains.emails.service.resolving import ResolutionService
from domains.emails.settings import EmailsSettings, parse_smtp_url
from domains.jobs.public import Jobs

TEMPLATES = Path(__file__).parent / "templates"


def _renderer(folders: dict[str, Path], settings: EmailsSettings, public_url: str) -> Renderer:
    return Renderer(
        folders, own_folder=TEMPLATES, product=settings.emails_product_name, public_url=public_url
    )


def _transport(settings: EmailsSettings, host: str) -> SmtpTransport:
    if settings.emails_smtp_url is None:
        return NullTransport()
    # Imported here, because only workers of the queue `mail` need the library.
    from domains.emails.gateway.smtp import SmtpGateway  # noqa: PLC0415  # as above

    server = parse_smtp_url(settings.emails_smtp_url.get_secret_value())
    return SmtpGateway(server, settings=settings, local_hostname=host)


class EmailsContainer(containers.DeclarativeContainer):
    """Transactional mail and its delivery."""

    core = providers.DependenciesContainer()
    jobs: providers.Dependency[Jobs] = providers.Dependency()
    template_folders = providers.Dependency(instance_of=dict)

    repository = providers.ThreadSafeSingleton(EmailRepository, core.database)
    encryption = providers.ThreadSafeSingleton(MailEncryption, core.settings.provided.plain_mail_keys)
    renderer = providers.ThreadSafeSingleton(
        _renderer, template_folders, core.settings, core.settings.provided.public_url
    )
    host = providers.ThreadSafeSingleton(mail_host, core.settings.provided.public_url)
    transport = providers.ThreadSafeSingleton(_transport, core.settings, host)

    mailer = providers.ThreadSafeSingleton(
        MailerService,
        repository=repository,
        transaction=core.transaction,
        outbox=core.outbox,
        clock=core.clock,
        renderer=renderer,
        encryption=encryption,
        sender=providers.ThreadSafeSingleton(sender_of, core.settings, host),
        host=host,
    )
    delivery = providers.ThreadSafeSingleton(
        DeliveryService,
        repository=repository,
        transaction=core.transaction,
        outbox=core.outbox,
        jobs=jobs,
        clock=core.clock,
        transport=transport,
        encryption=encryption,
        settings=core.settings,
    )
    service = providers.ThreadSafeSingleton(
        EmailService,
        repository=repository,
        transaction=core.transaction,
        clock=core.clock,
        settings=core.settings,
    )
    resolution = providers.ThreadSafeSingleton(
        ResolutionService,
        repository=repository,
        jobs=jobs,
        transaction=core.transaction,
        outbox=core.outbox,
        clock=core.clock,
        settings=core.settings,
        audit=core.audit_log,
    )
    measures = providers.ThreadSafeSingleton(EmailMeasures, repository=repository)

    personal_data = service
    routers = providers.Object([router_module.router])
    stoppables = providers.List(transport)
    tasks = providers.Object(tasks_module)
    templates = providers.Object(TEMPLATES)
    resource_urls = providers.Object({"email": "/v1/emails/{id}"})
